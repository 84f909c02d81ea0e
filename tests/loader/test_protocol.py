"""The loader as a program of its own, the way the client runs it."""

import json
import os
import subprocess
import sys
import unittest

from support import JOB, ROOT, LoaderTest, request

LOADER = os.path.join(ROOT, "src", "client", "loader")


def read(name):
    with open(os.path.join(LOADER, name)) as stream:
        return stream.read()


def modules():
    named = {"aurora_loader": read("__init__.py")}
    for name in os.listdir(LOADER):
        if name.endswith(".py") and name not in ("__init__.py", "boot.py"):
            named["aurora_loader." + name[:-3]] = read(name)
    return json.dumps(named).encode()


def converse(*requests):
    """Answers, and what came out on standard error."""
    size = modules()
    text = b"%d\n%s" % (len(size), size)
    text += b"".join(json.dumps(one).encode() + b"\n" for one in requests)
    child = subprocess.Popen(
        [sys.executable, "-I", "-c", read("boot.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = child.communicate(text)
    return [json.loads(line) for line in out.decode().splitlines()], err.decode()


class Protocol(LoaderTest):
    def test_what_a_file_prints_goes_to_standard_error(self):
        noise = """
import os, sys
print('printed')
sys.stdout.write('written\\n')
os.write(1, b'raw\\n')
os.system('echo from a shell')
"""
        answers, err = converse(request("a.aurora", source=noise + JOB))
        self.assertEqual("n", answers[0]["jobs"][0]["key"]["name"])
        for words in ("printed", "written", "raw", "from a shell"):
            self.assertIn(words, err)

    def test_a_file_reads_nothing_from_standard_input(self):
        text = "import sys\nassert sys.stdin.read() == ''\n" + JOB
        answers, err = converse(request("a.aurora", source=text), request("b.aurora", source=JOB))
        self.assertEqual(2, len(answers), err)
        self.assertNotIn("error", answers[0])

    def test_each_request_starts_anew(self):
        left = request("a.aurora", source="left = 1\n" + JOB)
        answers, _ = converse(left, request("b.aurora", source="left\n" + JOB))
        self.assertIn("NameError", answers[1]["error"]["message"])

    def test_other_versions_are_refused(self):
        answers, _ = converse(request("a.aurora", source=JOB, version=2))
        self.assertIn("version 1", answers[0]["error"]["message"])

    def test_errors_keep_their_place(self):
        answers, _ = converse(request("a.aurora", source="\nProcess(nam = 1)"))
        self.assertEqual(
            ("a.aurora", 2), (answers[0]["error"]["file"], answers[0]["error"]["line"])
        )

    def test_lists(self):
        answers, _ = converse(request("a.aurora", source=JOB, want="list"))
        key = {"cluster": "c", "role": "r", "environment": "e", "name": "n"}
        self.assertEqual([{"key": key}], answers[0]["jobs"])


if __name__ == "__main__":
    unittest.main()
