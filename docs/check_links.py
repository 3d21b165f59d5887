"""Look where the links of a built site lead: every file and every place in a page must be there.

Run as ``python docs/check_links.py FOLDER``. Links to other sites are not followed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The links of a page, and the places in it that links may lead to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.links, self.places = path, set[str](), set[str]()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag leads to, and what it is called."""
        for name, value in attrs:
            if value and name in ("href", "src"):
                self.links.add(value)
            if value and name in ("id", "name"):
                self.places.add(value)


def broken_links(folder: Path) -> Iterator[str]:
    """Yield a sentence for each link of a page in the folder that leads nowhere."""
    pages = {path.resolve(): Page(path) for path in folder.rglob("*.html")}
    for path, page in pages.items():
        for link in sorted(page.links):
            address = urlsplit(link)
            if address.scheme or address.netloc:
                continue
            target = (path.parent / unquote(address.path)).resolve() if address.path else path
            place = unquote(address.fragment)
            if not target.exists() or (place and target in pages and place not in pages[target].places):
                yield f"{path.relative_to(folder.resolve())}: {link} leads nowhere"


if __name__ == "__main__":
    problems = list(broken_links(Path(sys.argv[1])))
    print("\n".join(problems) or "every link leads somewhere")
    sys.exit(1 if problems else 0)
