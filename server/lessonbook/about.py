"""What this is, for whoever asks over the wire."""

from typing import Final

VERSION: Final = "0.3.0"
