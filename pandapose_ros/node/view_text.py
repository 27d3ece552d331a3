"""Texts of others in the browser view's Markdown, as they are and nothing else."""

_LONGEST = 300
_ENDINGS = str.maketrans({"`": "'", "\r": " ", "\n": " ", "\v": " ", "\f": " "})


def quoted(text: str) -> str:
    """Return a text as inline code, for Markdown that viser shows.

    A message's text may not end the code: what follows would be Markdown and HTML, which a page
    runs. Nor may it name a picture: viser reads files of this computer into the page, also those
    named in code.

    Args:
        text: Of anybody; shortened if it is long.
    """
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
    plain = short.translate(_ENDINGS).replace("![", "! [")
    return f"`{plain}`" if plain.strip() else "an empty text"
