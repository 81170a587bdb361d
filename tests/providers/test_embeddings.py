"""A model in a folder: a real one of model2vec, made of a few words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model2vec import StaticModel
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from lessonbook.config.settings import SemanticSettings
from lessonbook.providers.embeddings import EmbeddingFailed, open_embedder

pytestmark = pytest.mark.anyio

WORDS = {"[UNK]": [0.1, 0.1], "timeout": [1.0, 0.0], "deadline": [0.9, 0.1], "file": [0.0, 1.0]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    model = StaticModel(np.array(list(WORDS.values()), dtype="float32"), tokenizer, normalize=False)
    model.save_pretrained(str(tmp_path / "model"))
    return tmp_path / "model"


def cosine(one: bytes, other: bytes) -> Any:
    return np.frombuffer(one, dtype="<f4") @ np.frombuffer(other, dtype="<f4")


async def test_a_folder_model_tells_words_of_one_meaning_from_others(folder: Path) -> None:
    embedder = open_embedder(SemanticSettings(model=str(folder)))
    timeout, deadline, file = await embedder.embed(["timeout", "deadline", "file"], 60)
    assert cosine(timeout, timeout) == pytest.approx(1)
    assert cosine(timeout, deadline) > 0.9
    assert cosine(timeout, file) < 0.1


async def test_a_folder_that_holds_no_model_fails_as_a_model_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingFailed, match="fails"):
        await open_embedder(SemanticSettings(model=str(tmp_path))).embed(["timeout"], 60)
