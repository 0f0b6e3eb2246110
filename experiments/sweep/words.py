"""Small pieces of English that the output of a sweep shares with findings and report."""


def plural(n: int, word: str) -> str:
    """'1 epoch', '2,500 epochs'."""
    return f"{n:,} {word}{'' if n == 1 else 's'}"
