"""Numbered equations on the site: their own numbers, an address each, and links wherever the text names one."""

import re
from typing import Any

from docutils import nodes

TAG = re.compile(r"\\tag\{([^}]+)\}")
MENTION = re.compile(r"(?<![\w)′])\((\d+\.\d+)\)")  # z(1.2) is a value
UNLINKED = (nodes.reference, nodes.literal, nodes.title, nodes.math, nodes.literal_block, nodes.math_block)


def anchor(number: str) -> str:
    """The address of an equation within its page: eq-5-1 for 5.1."""
    return "eq-" + re.sub(r"\W+", "-", number)


def keep_numbers(app: Any, doctree: nodes.document) -> None:
    r"""Give every ``\tag`` an anchor, and keep Sphinx from wrapping it into a split, where MathJax refuses it."""
    labels = app.env.get_domain("std").anonlabels
    for node in list(doctree.findall(nodes.math_block)):
        text = node.astext()
        numbers = TAG.findall(text)
        if not numbers:
            continue
        node["no-wrap"] = node["nowrap"] = True
        node.clear()
        node += nodes.Text(rf"\[{text}\]")
        for number in numbers:
            node.parent.insert(node.parent.index(node), nodes.target("", "", ids=[anchor(number)]))
            labels[anchor(number)] = app.env.docname, anchor(number)


def link_mentions(app: Any, doctree: nodes.document, docname: str) -> None:
    """Turn "(5.6)" in a sentence into a link to equation 5.6, wherever its lesson is."""
    labels = app.env.get_domain("std").anonlabels
    for text in list(doctree.findall(nodes.Text)):
        if any(isinstance(parent, UNLINKED) for parent in parents(text)):
            continue
        parts = MENTION.split(text.astext())  # text, number, text, number, … text
        if not any(anchor(number) in labels for number in parts[1::2]):
            continue
        pieces: list[nodes.Node] = []
        for k, part in enumerate(parts):
            if k % 2 == 0:
                pieces.append(nodes.Text(part))
            elif anchor(part) in labels:
                page, name = labels[anchor(part)]
                uri = ("" if page == docname else app.builder.get_relative_uri(docname, page)) + "#" + name
                pieces.append(nodes.reference("", f"({part})", refuri=uri, internal=True))
            else:
                pieces.append(nodes.Text(f"({part})"))
        text.parent.replace(text, pieces)


def parents(node: nodes.Node) -> list[nodes.Node]:
    above = []
    while node.parent is not None:
        node = node.parent
        above.append(node)
    return above


def setup(app: Any) -> None:
    app.connect("doctree-read", keep_numbers)
    app.connect("doctree-resolved", link_mentions)
