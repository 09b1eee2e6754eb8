"""BLIP-2 as the writer of captions, prompted as TAVDiff prompts it.

The paper (section III-A) gives BLIP-2 each frame and one prompt; it names neither the model's size nor the form of the
prompt. The smallest published model, ``Salesforce/blip2-opt-2.7b``, was never taught to follow instructions: it may
repeat the prompt or return nothing. So the prompt is put as a question, the form that its authors use; a repeated
prompt is removed, and a frame without an answer is tried again without any prompt. The mode of each caption is part of
its line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from lightning_avsp.backbones.text_encoder import loading, require_transformers
from lightning_avsp.errors import InputError

DEFAULT_MODEL = "Salesforce/blip2-opt-2.7b"
"""In half precision 7.5 GB; needs a GPU to be of use."""

PROMPT = (
    "Please use no more than 20 words to describe this image, focusing on the following two aspects: "
    "(1) The foreground objects in the image. (2) What scene, event or theme is the image mainly expressing"
)
"""The prompt that the paper prints."""

LONGEST = 20
"""Words of a caption, as the prompt asks; what follows is cut."""

PromptMode = Literal["question", "plain", "none"]
"""Form of the prompt: ``Question: ... Answer:``, as it stands, or none at all."""

_NEW_TOKENS = 48  # 20 words are seldom more than 30 tokens
_FILES = (
    "config.json, generation_config.json, the model*.safetensors files with their index, preprocessor_config.json, "
    "processor_config.json, tokenizer.json, tokenizer_config.json"
)


@dataclass(frozen=True)
class Answer:
    """The model's answer for one frame."""

    text: str
    """At most :data:`LONGEST` words; empty if there was none, even without a prompt."""
    mode: PromptMode
    """Form of the prompt that it answers."""


@dataclass
class Captioner:
    """A BLIP-2 model with its processor."""

    name: str
    """Name or folder of the model."""
    network: nn.Module
    """transformers' ``Blip2ForConditionalGeneration``."""
    processor: Any
    """transformers' ``Blip2Processor``."""
    mode: PromptMode = "question"
    """First form of the prompt."""

    def caption(self, frames: Sequence[np.ndarray]) -> list[Answer]:
        """Caption frames, each uint8 (H, W, 3), RGB; greedily, so that the same frame always gets the same caption."""
        answers = [Answer(text, self.mode) for text in self._ask(frames, self.mode)]
        silent = [index for index, answer in enumerate(answers) if not answer.text]
        if silent and self.mode != "none":
            again = self._ask([frames[index] for index in silent], "none")
            for index, text in zip(silent, again, strict=True):
                answers[index] = Answer(text, "none")
        return answers

    @torch.inference_mode()
    def _ask(self, frames: Sequence[np.ndarray], mode: PromptMode) -> list[str]:
        prompt = put_prompt(mode)
        # text is given even if empty: it decides the start token in the same way for every language model
        inputs = self.processor(images=list(frames), text=[prompt] * len(frames), return_tensors="pt")
        network: Any = self.network
        # half precision keeps the middle part in single precision: the vision model decides the type of images
        weights = next(network.vision_model.parameters())
        inputs = {
            name: value.to(weights.device, weights.dtype if value.is_floating_point() else value.dtype)
            for name, value in inputs.items()
        }
        said = network.generate(**inputs, max_new_tokens=_NEW_TOKENS, do_sample=False, num_beams=1)
        asked = inputs["input_ids"]
        if said.shape[1] >= asked.shape[1] and bool((said[:, : asked.shape[1]] == asked).all()):
            said = said[:, asked.shape[1] :]  # some versions of transformers give the question back
        texts = self.processor.tokenizer.batch_decode(said, skip_special_tokens=True)
        return [tidy(text, prompt) for text in texts]


def put_prompt(mode: PromptMode) -> str:
    """Return the prompt in the form of a mode."""
    return {"question": f"Question: {PROMPT} Answer:", "plain": PROMPT, "none": ""}[mode]


def tidy(text: str, prompt: str) -> str:
    """Return an answer on one line, without the repeated prompt, cut to :data:`LONGEST` words."""
    answer = " ".join(text.split())
    for echo in (prompt, PROMPT):
        if echo and answer.lower().startswith(echo.lower()):
            answer = answer[len(echo) :]
    answer = re.sub(r"^[\s.:,;?]*(?:answer:\s*)*", "", answer, flags=re.IGNORECASE)
    # An untaught model goes on with a question of its own
    answer = re.split(r"\bquestion:", answer, maxsplit=1, flags=re.IGNORECASE)[0]
    if not re.search(r"\w", answer):
        return ""
    return " ".join(answer.split()[:LONGEST])


def open_captioner(
    name: str = DEFAULT_MODEL, device: str = "cpu", mode: PromptMode = "question"
) -> Captioner:
    """Open a captioner by the name of its BLIP-2 model on the Hugging Face hub, or a folder with its files.

    Its precision is half on a GPU and single on the CPU.

    Args:
        name: Name or folder of the model.
        device: Device to run it on.
        mode: First form of the prompt.

    Raises:
        InputError: If its files are not there and cannot be downloaded, lack weights or do not fit together; the
            message says which to fetch and where to put them.
        MissingDependencyError: If transformers is not installed.
    """
    transformers = require_transformers()
    dtype = torch.float32 if device == "cpu" else torch.float16
    argument = "dtype" if int(transformers.__version__.split(".")[0]) >= 5 else "torch_dtype"  # renamed in 5
    with loading(name, "--model", _FILES):
        network, info = transformers.Blip2ForConditionalGeneration.from_pretrained(
            name, output_loading_info=True, **{argument: dtype}
        )
        processor = transformers.Blip2Processor.from_pretrained(name)
    missing = sorted(info["missing_keys"])
    if missing:
        raise InputError(
            f"{name} lacks {len(missing)} weights of BLIP-2, e.g. {missing[0]}: fetch its files again, or give another "
            "--model"
        )
    if processor.num_query_tokens is None:  # files from before transformers 4.46
        processor.num_query_tokens = network.config.num_query_tokens
    expected = getattr(network.config, "image_token_index", None)
    found = processor.tokenizer.convert_tokens_to_ids("<image>")
    if expected is not None and found != expected:
        raise InputError(
            f"{name}: its tokenizer puts images at token {found}, its network expects them at {expected}; "
            "fetch all of its files again, from one version"
        )
    return Captioner(name, network.eval().requires_grad_(False).to(device), processor, mode)
