"""Reads a page as a person does: its words, its tables cell by cell, its charts by the marks at their sides."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "link", "img", "hr", "input"}
LINE = re.compile(r'<polyline class="line" stroke="(#\w+)" points="([^"]+)"/>')
DOT = re.compile(r'<circle fill="(#\w+)" cx="([\d.]+)" cy="([\d.]+)" r="\d"><title>([^<]+)</title>')
SHARE_MARK = re.compile(r'<text x="\d+" y="([\d.]+)" text-anchor="end">([\d.]+) %</text>')


class Parsed(HTMLParser):
    """Tags, attributes and visible text of a page; counts tags that were not closed in order."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.words, self.open, self.faults = [], [], [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.faults.append(tag)

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)


def table_of(html, caption):
    """The cells of the table under ``caption`` by row, as a reader sees them."""
    body = html[html.index(caption) :]
    body = body[body.index("<tbody>") : body.index("</tbody>")]
    cells = re.compile(r"<t[hd][^>]*>(.*?)</t[hd]>", re.S)
    without_pictures = re.sub(r"<svg.*?</svg>", "", body, flags=re.S)
    return [
        [re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", cell)).strip() for cell in cells.findall(row)]
        for row in without_pictures.split("</tr>")[:-1]
    ]


def drawn(html, caption):
    """The lines of a chart: (x, y, share, text) of each point, shares read off the wide drawing by the marks at its side."""
    figure = re.search(rf"<figure>(?:(?!</figure>).)*{caption}.*?</figure>", html, re.S)[0]
    picture = re.search(r'<svg class="chart wide".*?</svg>', figure, re.S)[0]
    (low_y, low), *_, (high_y, high) = [(float(y) - 4, float(share) / 100) for y, share in SHARE_MARK.findall(picture)]
    lines = {}
    for colour, x, y, text in DOT.findall(picture):
        share = low + (low_y - float(y)) / (low_y - high_y) * (high - low)
        lines.setdefault(colour, []).append((float(x), float(y), share, text))
    for colour, points in LINE.findall(picture):
        assert points.split() == [f"{x},{y}" for x, y, *_ in lines[colour]], "the line leads through its points"
    legend = re.findall(r'<span class="key" style="background:(#\w+)">', figure)
    assert legend in ([], list(lines)), "the legend names the lines in their order, by their colours"
    return list(lines.values())
