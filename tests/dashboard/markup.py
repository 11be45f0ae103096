"""A page taken apart: its tags, attributes and texts. Owns reading HTML for the tests."""

from __future__ import annotations

from html.parser import HTMLParser

__all__ = ["Markup"]

VOID = frozenset({"br", "input", "link", "meta", "wbr"})


class Markup(HTMLParser):
    """A parsed page.

    Attributes:
        tags: Each tag with its attributes, in the order of the page.
        shape: Each tag with the names of its attributes, and each end: what a text must never change.
        text: All texts, put together.
        unclosed: Tags that are open at the end.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.shape: list[tuple[str, ...]] = []
        self.text = ""
        self.unclosed: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self.shape.append((tag, *(name for name, _ in attrs)))
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_endtag(self, tag: str) -> None:
        self.shape.append((f"/{tag}",))
        assert self.unclosed.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        self.shape.append(("comment", data))

    def of(self, *names: str) -> list[dict[str, str]]:
        """Return the attributes of all tags of these names."""
        return [attributes for tag, attributes in self.tags if tag in names]
