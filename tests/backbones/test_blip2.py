"""BLIP-2: prompts, answers, and a small random network loaded as a published one would be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lightning_avsp.backbones.blip2 import LONGEST, PROMPT, Captioner, open_captioner, put_prompt, tidy
from lightning_avsp.errors import InputError


@pytest.mark.parametrize("mode", ["question", "plain", "none"])
def test_an_echo_is_removed(mode: str) -> None:
    prompt = put_prompt(mode)
    assert tidy(f"{prompt} a dog\n barks ", prompt) == "a dog barks"


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("", ""),
        (" . ", ""),
        ("Answer: a dog", "a dog"),
        (PROMPT.upper() + ". A dog", "A dog"),
        (f"Question: {PROMPT} Answer:", ""),
        ("a dog. Question: what colour? Answer: red", "a dog."),
        ("question: is it?", ""),
        ("word " * 30, " ".join(["word"] * LONGEST)),
    ],
)
def test_answers_are_tidied(said: str, kept: str) -> None:
    assert tidy(said, put_prompt("question")) == kept


def frames(count: int) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, 255, (40, 60, 3), dtype=np.uint8) for _ in range(count)]


@pytest.mark.parametrize("mode", ["question", "none"])
def test_a_small_blip2_captions(blip2_folder: Path, mode: str) -> None:
    captioner = open_captioner(str(blip2_folder), "cpu", mode)
    answers = captioner.caption(frames(4))
    assert [answer.mode for answer in answers] == [mode] * 4
    assert all(0 < len(answer.text.split()) <= LONGEST for answer in answers)
    assert len({answer.text for answer in answers}) > 1  # the picture decides
    assert captioner.caption(frames(4)) == answers
    assert captioner.caption(frames(4)[2:3]) == answers[2:3]  # whatever else is in the batch


def test_half_precision(blip2_folder: Path) -> None:
    captioner = open_captioner(str(blip2_folder))
    captioner.network.half()  # as on a GPU
    assert all(answer.text for answer in captioner.caption(frames(2)))


@pytest.mark.parametrize("given_back", [True, False])
def test_a_question_that_is_given_back_is_no_answer(
    blip2_folder: Path, monkeypatch: pytest.MonkeyPatch, given_back: bool
) -> None:
    captioner = open_captioner(str(blip2_folder))
    answer = captioner.processor.tokenizer("red disc", add_special_tokens=False, return_tensors="pt")

    def generate(input_ids: torch.Tensor, **_: object) -> torch.Tensor:
        said = answer["input_ids"].expand(len(input_ids), -1)
        return torch.cat([input_ids, said], dim=1) if given_back else said

    monkeypatch.setattr(captioner.network, "generate", generate)
    assert [found.text for found in captioner.caption(frames(2))] == ["red disc"] * 2


def test_a_frame_without_an_answer_is_asked_without_a_prompt(
    blip2_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    captioner = open_captioner(str(blip2_folder))
    ask = Captioner._ask

    def silent(self: Captioner, given: list, mode: str) -> list[str]:
        texts = ask(self, given, mode)
        return texts if mode == "none" else ["", *texts[1:]]

    unprompted = open_captioner(str(blip2_folder), "cpu", "none").caption(frames(1))
    monkeypatch.setattr(Captioner, "_ask", silent)
    answers = captioner.caption(frames(2))
    assert [answer.mode for answer in answers] == ["none", "question"]
    assert answers[0] == unprompted[0]


def test_a_tokenizer_of_another_version_is_refused(blip2_folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(blip2_folder, tmp_path / "blip2"))
    config = json.loads((folder / "config.json").read_text())
    config["image_token_index"] = 3
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="its network expects them at 3"):
        open_captioner(str(folder))


def test_without_network_the_files_and_their_place_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("transformers")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"preprocessor_config\.json.*--model FOLDER.*models--nobody--blip2"):
        open_captioner("nobody/blip2")
