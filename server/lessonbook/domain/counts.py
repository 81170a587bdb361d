"""Numbers of things in sentences."""


def count_of(count: int, thing: str) -> str:
    """Return a number with its noun, which takes its plural where the number is not one: `1 issue`, `2 issues`."""
    if count == 1:
        return f"1 {thing}"
    return f"{count} {thing[:-1]}ies" if thing.endswith("y") and thing[-2] not in "aeiou" else f"{count} {thing}s"
