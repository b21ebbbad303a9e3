"""Prints one short real text a line: what Debian's packages say of themselves, in English or another language.

    python3 benches/texts.py [LANGUAGE] > texts.txt

Needs apt and nothing else; leaves the machine's own lists alone.
"""

import glob
import re
import subprocess
import sys
import tempfile

# Some 64 tokens, and fewer than any model reads.
LONGEST = 240

language = sys.argv[1] if len(sys.argv) > 1 else "en"
with tempfile.TemporaryDirectory() as lists:
    subprocess.run(
        ["apt-get", "update", "-qq", "-o", f"Acquire::Languages={language}", "-o", f"Dir::State::lists={lists}"],
        check=True,
        stdout=sys.stderr,
    )
    files = sorted(glob.glob(f"{lists}/*_main_i18n_Translation-{language}*"))
    read = ["/usr/lib/apt/apt-helper", "cat-file", *files]
    pages = subprocess.run(read, check=True, capture_output=True, text=True).stdout

seen = set()
for stanza in pages.split("\n\n"):
    found = re.search(rf"^Description-{language}: (.*)\n((?: .*\n?)*)", stanza, re.MULTILINE)
    if not found:
        continue
    summary, lines = found.groups()
    paragraph = " ".join(line.strip() for line in lines.split("\n .\n")[0].splitlines())
    sentences = re.split(r"(?<=[.!?]) ", paragraph)
    text = f"{summary.strip()}. {' '.join(sentences[:2])}".strip()[:LONGEST]
    if text not in seen:
        seen.add(text)
        print(text)
