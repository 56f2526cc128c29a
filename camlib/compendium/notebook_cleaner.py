"""What a notebook must be to be committed: free of what changes from run to run, of errors, of traces of a machine."""

from __future__ import annotations

import os
import re
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from camlib import paths
from camlib.compendium.inline import inline_picture

KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
KEPT_CELL_METADATA = ("jupyter", "tags")
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
UNSTABLE_TEXT = re.compile(paths.MACHINE_PATH.pattern + r"|\b(?:site|dist)-packages\b|\bat 0x[0-9a-fA-F]{6,}")


def clean(notebook: NotebookNode) -> NotebookNode:
    """A copy without anything that changes from run to run; cleaning it again changes nothing.

    Cell ids become cell-0, cell-1, …; execution counts of cells that ran 1, 2, …; of cell metadata tags and
    visibility stay; adjacent pieces of one stream are joined; widget states and views go (nbval never
    compares them), their text stays; notebook metadata names the kernel and
    the language only.
    """
    cleaned = nbformat.from_dict(notebook)
    cleaned.nbformat, cleaned.nbformat_minor = 4, 5
    cleaned.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    count = 0
    for index, cell in enumerate(cleaned.cells):
        cell.id = f"cell-{index}"
        cell.metadata = {key: cell.metadata[key] for key in KEPT_CELL_METADATA if cell.metadata.get(key)}
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            cell.execution_count = count = count + 1
        cell.outputs = [_clean_output(out, cell.execution_count) for out in _joined_streams(cell.outputs)]
    return cleaned


def lighten(notebook: NotebookNode) -> NotebookNode:
    """A copy whose large pictures are JPEG (:mod:`camlib.compendium.inline`); lightening it again changes nothing."""
    light = nbformat.from_dict(notebook)
    for output in (output for cell in light.cells for output in cell.get("outputs", ())):
        if png := output.get("data", {}).get("image/png"):
            del output.data["image/png"]
            mime, content = inline_picture(b64decode(png))
            output.data[mime] = png if mime == "image/png" else b64encode(content).decode()
    return light


def _clean_output(output: NotebookNode, count: int | None) -> NotebookNode:
    if "data" in output:
        output.data.pop(WIDGET_VIEW, None)
    if output.output_type == "execute_result":
        output.execution_count = count
    return output


def _joined_streams(outputs: Sequence[NotebookNode]) -> list[NotebookNode]:
    joined: list[NotebookNode] = []
    for output in outputs:
        if output.output_type == "stream" and joined and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def problems(notebook: NotebookNode) -> list[str]:
    """What keeps the outputs from a commit (errors, stderr, traces of the machine), a sentence each."""
    found = []
    for index, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        where = f"cell {index} ({cell.source.strip().partition(chr(10))[0]!r})"
        for output in cell.outputs:
            if output.output_type == "error":
                found.append(f"{where} ends in {output.ename}: {output.evalue}")
            elif output.get("name") == "stderr":
                found.append(f"{where} writes to stderr; mend its cause: {output.text.strip()!r}")
            found += [f"{where} shows what changes between machines: {text!r}" for text in _traces(output)]
    return found


def _traces(output: NotebookNode) -> Iterator[str]:
    data = output.get("data", {})
    for text in [output.get("text", ""), *(data[mime] for mime in data if mime.startswith("text/"))]:
        if match := UNSTABLE_TEXT.search(text):
            yield text[match.start() : match.start() + 60].partition("\n")[0]


def write(notebook: NotebookNode, path: str | Path) -> Path:
    """Write the notebook to a temporary name and rename it, so that ``path`` is whole or not there at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(nbformat.writes(notebook).rstrip("\n") + "\n", encoding="utf-8")
    return temporary.replace(path)
