#!/usr/bin/env python3
"""Writes tests/vectors/*.json, or checks that they are what they should be.

    python3 tests/vectors/derive/derive.py            write the files
    python3 tests/vectors/derive/derive.py --check    compare; exit 1 on a difference

The expectations come from `reference/`, a second implementation that follows the
specification in the slowest, plainest way, and shares no code with the
crate. It needs only Python 3.11 and its standard library.
"""

import importlib
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))
sys.setrecursionlimit(10_000)

ATTACK = re.compile(r"[A-O][1-9][0-9]?(, [A-O][1-9][0-9]?)*")


def topics():
    """Every topic of every module in topics/, in the order of the file names."""
    found = []
    for path in sorted((HERE / "topics").glob("*.py")):
        found.extend(importlib.import_module(f"topics.{path.stem}").TOPICS)
    return sorted(found, key=lambda topic: topic.file)


def lint(all_topics):
    """What holds for all files together: unique names, a reason for each entry."""
    seen, wrong = {}, []
    for topic in all_topics:
        for case in topic.cases:
            name = case["name"]
            where = f"{topic.file}: {name}"
            if name in seen:
                wrong.append(f"{where}: the name is taken by {seen[name]}")
            seen[name] = topic.file
            if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
                wrong.append(f"{where}: a name is lower-case words joined by -")
            if not 12 <= len(case["why"]) <= 140:
                wrong.append(f"{where}: a reason is one short sentence, not {case['why']!r}")
            if "attack" in case and not ATTACK.fullmatch(case["attack"]):
                wrong.append(f"{where}: an attack is a row such as A17")
    if wrong:
        raise SystemExit("\n".join(wrong))


def spell(topic):
    """The text of a file: one field of a case a line, so that a diff reads well."""
    lines = ["{", f'  "description": {json.dumps(topic.description)},', '  "cases": [']
    for at, case in enumerate(topic.cases):
        lines.append("    {")
        fields = [f"      {json.dumps(key)}: {json.dumps(value)}" for key, value in case.items()]
        lines.extend([field + "," for field in fields[:-1]] + fields[-1:])
        lines.append("    }" + ("," if at + 1 < len(topic.cases) else ""))
    return "\n".join(lines + ["  ]", "}", ""])


def main(arguments):
    if arguments not in ([], ["--check"]):
        raise SystemExit("usage: derive.py [--check]")
    all_topics = topics()
    lint(all_topics)
    wanted = {topic.file: spell(topic) for topic in all_topics}
    total = sum(len(topic.cases) for topic in all_topics)
    named = sum("attack" in case for topic in all_topics for case in topic.cases)
    summary = f"{total} entries in {len(wanted)} files, {named} of them answer an attack"
    if not arguments:
        for name, text in wanted.items():
            (VECTORS / name).write_text(text, encoding="ascii")
        print(f"wrote {summary}")
        return 0
    there = {path.name: path.read_text(encoding="ascii") for path in VECTORS.glob("*.json")}
    wrong = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
    for name in wrong:
        print(f"{name} is not what derive.py writes", file=sys.stderr)
    if not wrong:
        print(f"checked {summary}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
