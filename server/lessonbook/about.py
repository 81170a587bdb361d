"""What this is, for whoever asks over the wire."""

from typing import Final

VERSION: Final = "0.2.0"
