"""HTML as tests look at it: the elements in order, each with its attributes and all text within it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

EMPTY = {"meta", "input", "img", "br", "wbr", "link", "hr"}


@dataclass(eq=False)
class Element:
    name: str
    attributes: dict
    within: list = field(default_factory=list)
    text: str = ""

    def __getitem__(self, attribute):
        return self.attributes[attribute]

    def get(self, attribute):
        return self.attributes.get(attribute)

    def find(self, name, **attributes):
        """All elements within of this name and these attributes, ``class_`` and ``data_x`` for others."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attributes.items()}
        return [
            each
            for each in self.within
            if each.name == name and all(each.get(key) == value for key, value in wanted.items())
        ]


class _Parser(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.document = Element("document", {})
        self.open = [self.document]

    def handle_starttag(self, name, attributes):
        element = Element(name, dict(attributes))
        for outer in self.open:
            outer.within.append(element)
        if name not in EMPTY:
            self.open.append(element)

    def handle_endtag(self, name):
        assert name == self.open[-1].name, f"</{name}> ends <{self.open[-1].name}>"
        self.open.pop()

    def handle_data(self, text):
        for element in self.open:
            element.text += text


def parsed_html(text):
    """The document, all of whose elements are ended in the right order."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert [element.name for element in parser.open] == ["document"]
    return parser.document
