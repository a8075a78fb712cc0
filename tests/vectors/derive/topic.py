"""A topic: one JSON file of cases."""


class Topic:
    def __init__(self, file, description):
        self.file = file
        self.description = description
        self.cases = []

    def add(self, name, why, expected, attack=None, **inputs):
        """One case. The inputs keep the order in which they are given."""
        case = {"name": name, "why": why}
        if attack is not None:
            case["attack"] = attack
        case.update(inputs)
        case["expected"] = expected
        self.cases.append(case)


def claim(name, claimed, computed):
    """Compares what the author of a table states with what the reference computes.

    A table that says its outcomes by hand is a third opinion beside the reference and
    the crate; all three must agree.
    """
    if claimed != computed:
        raise SystemExit(f"{name}: the table says {claimed!r}, the reference {computed!r}")
    return computed


def data(value, field="text"):
    """Bytes as a field: text if they are printable ASCII, otherwise hex."""
    if isinstance(value, str):
        value = value.encode("utf-8")
    if all(0x20 <= byte < 0x7F for byte in value):
        return {field: value.decode("ascii")}
    return {field + "_hex": value.hex()}


def repeated(text, times, field="text", before=""):
    """A long text in few bytes."""
    return {field + "_repeat": {"before": before, "text": text, "times": times}}
