"""Reports made from logs, and read as an HTML parser reads them."""

import json
import re
from copy import deepcopy
from html.parser import HTMLParser

from findings.conclusions import conclude
from findings.sweep import Sweep
from report import page as report

COMMAND = "python experiments/exp3.py"
EVIL = '<b>&"\'</script><img src=x onerror="hacked=1">'
VOID = {"meta", "input", "img", "br"}


class Page(HTMLParser):
    """The elements of a page, with their attributes and texts; AssertionError if tags cross."""

    def __init__(self, text):
        super().__init__()
        self.text, self.elements, self.open = text, [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        inside = [e["tag"] for e in self.open]
        entry = {"tag": tag, **dict(attributes), "text": "", "inside": inside}
        self.elements.append(entry)
        if tag not in VOID:
            self.open.append(entry)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for entry in self.open:
            entry["text"] += data

    def all(self, tag, **attributes):
        wanted = {key.rstrip("_"): value for key, value in attributes.items()}.items()
        return [e for e in self.elements if e["tag"] == tag and wanted <= e.items()]

    def texts(self, tag, **attributes):
        return [e["text"] for e in self.all(tag, **attributes)]

    def data(self):
        """What the script draws from."""
        (script,) = self.all("script", id="data")
        return json.loads(script["text"])

    def rows(self, table):
        """The texts of a table's body, row by row."""
        part = self.text[self.text.index(f'id="{table}"') :]
        body = part[part.index("<tbody>") : part.index("</tbody>")]
        return [
            [
                re.sub("<[^>]*>", "", field).strip()
                for field in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)
            ]
            for row in re.findall("<tr>.*?</tr>", body, re.S)
        ]


def write(logs, out, study=None, command=COMMAND, tune_seeds=()):
    """Write the report of these logs; return its path."""
    sweep = Sweep.of(logs, study, command, tune_seeds)
    return report.write_page(sweep, conclude(sweep), out)


def page_of(logs, study=None, command=COMMAND, tune_seeds=()):
    """Return the report of these logs, parsed."""
    sweep = Sweep.of(logs, study, command, tune_seeds)
    return Page(report.page(sweep, conclude(sweep)))


def many(log, count):
    """As many cells, made from one log: learning rates 1, 2, 3, ..., the last the best."""
    logs = []
    for k in range(1, count + 1):
        logs.append(deepcopy(log))
        logs[-1]["config"]["learning_rate"] = float(k)
        logs[-1]["experiment_id"] = f"run{k}"
        logs[-1]["test_accuracy"] = 90 + k / 100
    return logs


def renamed(logs):
    """The same runs, with names that would be markup if they were not escaped.

    EVIL is the name of an activation too: it has to be registered.
    """
    logs = deepcopy(logs)
    for log in logs:
        if log["config"]["activation"] == "relu":
            log["config"]["activation"] = EVIL
        log["dataset"]["classes"][3] = log["dataset"]["name"] = log["device"] = EVIL
        log["dataset"]["note"] = log["versions"]["numpy"] = EVIL
    return logs
