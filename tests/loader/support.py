"""What the tests of the loader share."""

import os
import sys
import unittest

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "src", "client"))

from loader import files, main  # noqa: E402

JOB = """
jobs = [Job(cluster = 'c', role = 'r', environment = 'e', name = 'n', task = Task(
  processes = [Process(name = 'p', cmdline = 'true')],
  resources = Resources(cpu = 1, ram = 1*MB, disk = 1*MB)))]
"""


def names():
    """The namespace of a job file."""
    return files.namespace()


def request(file, **more):
    whole = {
        "version": 1,
        "want": "jobs",
        "file": file,
        "source": None,
        "is_json": False,
        "bindings": [],
        "select": None,
        "user": "tester",
    }
    whole.update(more)
    return whole


class LoaderTest(unittest.TestCase):
    """Loads texts and files, and looks into the answers."""

    maxDiff = None

    def load(self, text, **more):
        """The answer for the text of a job file."""
        return main.answer_to(request("test.aurora", source=text, **more))

    def jobs(self, text, **more):
        answer = self.load(text, **more)
        self.assertNotIn("error", answer, answer.get("error"))
        return answer["jobs"]

    def job(self, text, **more):
        jobs = self.jobs(text, **more)
        self.assertEqual(1, len(jobs))
        return jobs[0]

    def one(self, job="", task="", process="", before="", **more):
        """The only job of a small file with further attributes."""
        return self.job(self.text(job, task, process, before), **more)

    def text(self, job="", task="", process="", before=""):
        return (
            "%s\n"
            "process = Process(name = 'p', cmdline = 'true')(%s)\n"
            "task = Task(processes = [process], resources = Resources(cpu = 1, ram = 8*MB, disk = 4*MB))(%s)\n"
            "jobs = [Job(cluster = 'c', role = 'r', environment = 'e', name = 'n', task = task)(%s)]\n"
        ) % (before, process, task, job)

    def error(self, text, **more):
        answer = self.load(text, **more)
        self.assertIn("error", answer)
        return answer["error"]

    def refused(self, kind, field, words, **parts):
        """One attribute of a small file is refused."""
        error = self.error(self.text(**parts))
        self.assertEqual((kind, field), (error["kind"], error["field"]), error)
        self.assertIn(words, error["message"])
        return error

    def load_file(self, *path, **more):
        return main.answer_to(request(os.path.join(HERE, "cases", *path), **more))
