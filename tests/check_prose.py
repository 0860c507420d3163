"""Find phrases that are not plain English, and suggest plainer ones.

Reads the docstrings, comments, messages and names of all Python files, and the text of all
Markdown files. A name is read as its words: ``test_files_of_before`` as "test files of before".
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("sklearn_iqt", "tests", "benchmarks", "examples", "docs")
GENERATED = ("docs/_build", "docs/api", "docs/auto_examples")

PARTICIPLES = r"(asked|begun|done|drawn|given|made|told|wanted)"

# A phrase, and what to write instead. A space stands for any white space; capitals do not count.
PHRASES = {
    # Inverted or elliptical sentences
    r"(may|might|can|must not) miss(?! (the|a|an|any|some|one|it))": "'may be missing'",
    r"(is|are|was|were|be) (?-i:none)\b": "'there is no ...', or 'is missing'",
    r"(?<!there\s)\b(is|are|was|were|be) no (?!longer\b|more\b|less\b|different\b|\w+er\b)\w+": (
        "'is not a ...', or turn the sentence around"
    ),
    r"are none of": "'are not'",
    r"whose \w+ (is|are|has|have) (no|none|not)\b": "'without ...'",
    r"no third": "name the two that are allowed",
    r"\bof (whom|each|these|those|both|nrmse|them)(,| the| its| a| an| only| lower| higher)\b": (
        "subject first: 'lower NRMSE is better', 'the first axis of each ...'"
    ),
    r"(lower|higher|less|more) is better, of": "'lower ... is better'",
    r"\bof (the|all) others\b": "name them",
    r"\bof before\b": "'earlier', 'previous'",
    r"\bof (its|their|his|her) own\b": "'its own ...', 'a separate ...'",
    r"\b(is|are|be|was|were|not|than) (that|those) of\b": "'is the same as', 'equals', 'like'",
    r"\bhalf as long again\b": "a number: 'takes 1.5 times as long'",
    r"\bfrom an? [\w ]{1,12} on\b": "'above ...', 'starting with ...'",
    r"\bno \w+ (tells|knows|says|asks|sees|made|reads|comes)\b": "'... does not ...'",
    r"\bnothing (tells|says|knows|else tells)\b": "'there is no way to know'",
    r"\bin, [\w ]{1,30}out(?= ?[.,;:(]|$)": "a verb: 'Read ... and write ...'",
    r"\bas many \w+ (out|in)\b": "'the same number of ...'",
    # "What" for a noun
    rf"\bwhat (is|are|was|were|has been|have been) (not )?{PARTICIPLES}\b": "name the thing",
    r"\bwhat (came|comes|lies|stands|belongs|goes|fails|fits|differs)\b": "name the thing",
    r"\bwhat (has |had )?becomes? of\b": "'the result of'",
    r"\bwhat \w+ (makes?|made|has made|has become|does) (of|with|to)\b": "name the result",
    r"\b(return|yield|say|show|give|write|keep)s? what\b": "name what is returned: 'Return the ...'",
    r"\b(or|is|holds?|returns?) nothing( else)?(?=[.;,)]|$)": "'or None', 'is empty'",
    # Old words, and words in an old sense
    r"\btold\b": "'given', 'reported', 'distinguished'",
    r"\b(tell|tells|telling)\b(?! \w* ?apart)": "'say', 'show', 'report', 'return'",
    r"\bbegun\b": "'started'",
    r"\banew\b": "'again'",
    r"\balike\b": "'in the same way', 'similar'",
    r"\bplenty\b": "'enough'",
    r"\blikewise\b": "'also'",
    r"\bwhoever\b": "'the person who', 'anyone who'",
    r"\bwhichever\b": "'any', 'the one that'",
    r"\b(shall|lest|albeit|whilst|amongst|upon|unto|hereby|whereby|wherein|whence|thereof|therein)\b": (
        "today's word"
    ),
    r"\bfor want of\b": "'because there is not enough'",
    r"\b(he|him|his|she|her|hers)\b": "'the user', 'they', 'you'",
    # Phrases that nobody says
    r"\bhas not earned\b": "'is not worth using'",
    r"\bexpect (less|more) of\b": "say what happens",
    r"\b(has|have) (no|a|any) say\b": "'does not affect'",
    r"\bwithout a word\b": "'silently'",
    r"\bso to speak\b": "leave it out",
    r"\bby itself alone\b": "'independently'",
    r"\bafter all\b": "leave it out",
    r"\b(do|does|did) no harm\b": "'is ignored', 'is harmless'",
    r"\bcosts? (nothing|anything)\b": "'is free', 'takes no time'",
    r"\bputs? (\w+ |the [\w ]{1,25} )?right\b": "'fix', 'correct', 'repair'",
    r"\b(goes|go|going|went) on (where|after|with|past|until|by)\b": "'continue'",
    r"\b(goes|go|went) (this|the|that) way\b": "'does the same'",
    r"\bthe whole way\b": "'all steps'",
    r"\b(lie|lies|lay|lying) on (each|one) (other|another)\b": "'are aligned', 'cover the same space'",
    r"\bneed(s)? not be\b": "'does not have to be'; for a file, 'untrusted'",
    rf"\b(is|are|was|were|not) to be {PARTICIPLES}\b": "'must be', 'do not'",
    r"\bas far as (it|they|that|the \w+) (is|are|tells?|says?|goes)\b": "'if', 'where'",
    r"\bas (?!\w+ as )[\w ]{1,25} (tells?|told|has it|have it|gives it|wants?)\b": "'according to ...'",
    r"\b(just )?as (it|they) (is|are)(?=[.,;:)]|$)": "'unchanged'",
    r"\bwhatever (else )?(is|are|it|they|he|that|its|the|their)\b": "'regardless of'",
    r"\b(asks?|asked|wants?|wanted|demands?) of\b": "'requires'",
    r"\bwants? to know\b": "'requires', 'needs'",
    r"\bis speaking\b": "'the caller'",
    r"\b(takes?|taken|passe?s?|mistaken) (\w+ )?for (one|an|a|it)\b": "'treats as', 'is confused with'",
    r"\bwhere there (is|are) any\b": "'if available'",
    r"\b(at|in) (his|her|its|their) (place|turn|stead)\b": "say which",
    r"\bwhen it is (its|their) turn\b": "'later', 'when it is processed'",
    r"\bfound (its|their|his) (place|way)\b": "'was used', 'was assigned'",
    r"\bbelieved\b": "'trusted', 'used'",
    r"\bmakes? (much|little|nothing) of\b": "say what it does",
    r"\bstumbles? (over|on)\b": "'fails on'",
    r"\bmind(s|ed)? (by|of|that)\b": "'checks', 'manages'",
}
# A docstring begins with a verb or a noun.
OPENING = r"\A\s*(what|whose|who|where|which|how|whether|when|why|of|by|nothing)\b"

Text = tuple[int, str]


def compile_phrase(phrase: str) -> re.Pattern[str]:
    """Return the pattern of a phrase, which begins at a word and may contain line breaks."""
    start = "" if phrase.startswith((r"\b", r"\A", "(?<")) else r"\b"
    return re.compile(start + phrase.replace(" ", r"\s+"), re.I)


RULES = [(compile_phrase(phrase), better) for phrase, better in PHRASES.items()]
DOCSTRING_RULES = [(compile_phrase(OPENING), "begin with a verb or a noun"), *RULES]


def comments(source: str) -> Iterator[Text]:
    """Yield each block of comments, its lines joined."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if block and line != last + 1:
            yield last - len(block) + 1, "\n".join(block)
            block = []
        block.append(token.string.lstrip("# "))
        last = line
    if block:
        yield last - len(block) + 1, "\n".join(block)


def docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Yield the nodes of all docstrings."""
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value


def names(tree: ast.AST) -> Iterator[Text]:
    """Yield every name that a file defines, split into words."""
    for node in ast.walk(tree):
        name = getattr(node, "name", None) or getattr(node, "arg", None)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        if isinstance(name, str) and hasattr(node, "lineno"):
            yield node.lineno, name.replace("_", " ").strip()


def check_python(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, phrase and suggestion for the texts and names of a Python file."""
    tree = ast.parse(source)
    opened = list(docstrings(tree))
    for node in opened:
        yield from find(DOCSTRING_RULES, node.lineno, node.value)
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) and node not in opened else None
        # A single word is a key or an option.
        if isinstance(text, str) and " " in text.strip():
            yield from find(RULES, node.lineno, text)
    for line, text in (*comments(source), *names(tree)):
        yield from find(RULES, line, text)


def check_markdown(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, phrase and suggestion for the text of a page, without its code."""
    code = re.compile(r"^```(?!\{).*?^```|`[^`\n]*`", re.M | re.S)
    text = code.sub(lambda found: "\n" * found[0].count("\n") or "`code`", source)
    yield from find(RULES, 1, text)


def find(rules: list, line: int, text: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, phrase and suggestion for every match in a text that starts at a line."""
    for pattern, better in rules:
        for found in pattern.finditer(text):
            phrase = " ".join(found[0].split())
            yield line + text[: found.start()].count("\n"), phrase, better


def main() -> int:
    """Print every phrase with its place; return 1 if there are any."""
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.*")]
    n_found = 0
    for path in sorted([*files, *ROOT.glob("*.md")]):
        name = path.relative_to(ROOT).as_posix()
        check = {".py": check_python, ".md": check_markdown}.get(path.suffix)
        if check is None or name.startswith(GENERATED) or path == Path(__file__).resolve():
            continue
        for line, phrase, better in sorted(check(path.read_text(encoding="utf-8"))):
            n_found += 1
            print(f"{name}:{line}: {phrase!r}: write {better}")
    print(f"{n_found} phrases that are not plain English.")
    return int(n_found > 0)


if __name__ == "__main__":
    sys.exit(main())
