"""tally.py REPORT: prints "PASSED FAILED" of a meson testlog.json or a JUnit file. Used by ./dev test."""
import json
import sys
import xml.etree.ElementTree as ElementTree


def meson(path):
    results = [json.loads(line)["result"] for line in open(path, encoding="utf-8") if line.strip()]
    good = sum(result in ("OK", "EXPECTEDFAIL") for result in results)
    return good, sum(result not in ("OK", "EXPECTEDFAIL", "SKIP") for result in results)


def junit(path):
    suites = ElementTree.parse(path).getroot().iter("testsuite")
    total = bad = skipped = 0
    for suite in suites:
        total += int(suite.get("tests"))
        bad += int(suite.get("failures")) + int(suite.get("errors"))
        skipped += int(suite.get("skipped"))
    return total - bad - skipped, bad


print(*(junit if sys.argv[1].endswith(".xml") else meson)(sys.argv[1]))
