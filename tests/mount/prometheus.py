"""Reads a file in the text format of Prometheus (version 0.0.4), takes no liberties, and prints the samples."""
import math
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
VALUE = re.compile(r"[+-]?(?:\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|Inf)|NaN")
TYPES = {"counter", "gauge", "histogram", "summary", "untyped"}


def fail(text):
    sys.exit(f"line {number}: {text}")


def base(name):
    """The family that a sample belongs to."""
    for suffix in ("_bucket", "_sum", "_count"):
        family = name.removesuffix(suffix)
        if name.endswith(suffix) and types.get(family) in ("histogram", "summary"):
            return family
    return name


def check_histogram(family):
    for labels, buckets in histograms[family].items():
        bounds = [b for b, _ in buckets]
        counts = [c for _, c in buckets]
        if bounds != sorted(set(bounds)) or counts != sorted(counts) or bounds[-1] != math.inf:
            sys.exit(f"{family}: its buckets are not in order, or lack +Inf")
        if samples.get((family + "_count", labels)) != counts[-1] or (family + "_sum", labels) not in samples:
            sys.exit(f"{family}: _count is not the last bucket, or there is no _sum")


text = open(sys.argv[1], newline="").read()
number = 0
types, helps, samples, histograms, done = {}, set(), {}, {}, set()
current = None
if not text.endswith("\n") or "\r" in text:
    sys.exit("it must end with a newline and have no carriage returns")
for number, line in enumerate(text.split("\n")[:-1], 1):
    if line.startswith("# HELP "):
        match = re.fullmatch(rf"# HELP ({NAME}) (.+)", line)
        if not match or match[1] in helps or match[1] in done:
            fail("a bad or second HELP")
        helps.add(match[1])
        if current:
            done.add(current)
        current = match[1]
    elif line.startswith("# TYPE "):
        match = re.fullmatch(rf"# TYPE ({NAME}) (\w+)", line)
        if not match or match[2] not in TYPES or match[1] in types or match[1] != current:
            fail("a bad or second TYPE, or one that does not follow its HELP")
        types[match[1]] = match[2]
    else:
        match = SAMPLE.fullmatch(line)
        if not match or not VALUE.fullmatch(match[3]):
            fail(f"not a sample: {line!r}")
        name, labels, value = match[1], match[2] or "", float(match[3].replace("Inf", "inf"))
        family = base(name)
        if family != current or family not in types:
            fail("a sample without HELP and TYPE right above, or apart from its family")
        if types[family] == "counter" and (value < 0 or not name.endswith("_total")):
            fail("a counter is not negative and is called ..._total")
        if (name, labels) in samples:
            fail("the same sample twice")
        samples[name, labels] = value
        names = [part.split("=")[0] for part in re.findall(LABEL, labels)]
        if len(names) != len(set(names)):
            fail("a label twice")
        if types[family] == "histogram" and name.endswith("_bucket"):
            bound = re.search(r'le="([^"]*)"', labels)
            if not bound:
                fail("a bucket without le")
            rest = ",".join(part for part in re.findall(LABEL, labels) if not part.startswith("le="))
            histograms.setdefault(family, {}).setdefault(rest, []).append((float(bound[1].replace("Inf", "inf")), value))
        print(line)
if set(types) != helps or not samples:
    sys.exit("HELP without TYPE, or nothing at all")
for family in types:
    if types[family] == "histogram":
        check_histogram(family)
