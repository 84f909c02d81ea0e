"""Running job files: names, include(), and the place of every error."""

import os
import unittest

from support import HERE, JOB, LoaderTest


class Running(LoaderTest):
    def test_files_are_python(self):
        text = """
import getpass, os
def make(n):
  return Process(name = 'p%d' % n, cmdline = 'echo {}'.format(n))
jobs = [Job(cluster = c, role = 'r', environment = 'e', name = 'n', task = Task(
  processes = [make(n) for n in range(2)],
  resources = Resources(cpu = 0.5 * 2, ram = 1*GB, disk = 2*GB))) for c in ('one', 'two')]
"""
        self.assertEqual(["one", "two"], [job["key"]["cluster"] for job in self.jobs(text)])

    def test_all_names_of_the_schema_are_there(self):
        words = """
BYTES KB MB GB TB AURORA_EXECUTOR_NAME Boolean Choice Default Empty Enum Environment Float Integer List Map
MustacheParser Namable Ref Required String Struct Type TypeCheck TypeFactory Process Logger RotatePolicy Task
Constraint Resources ThermosContext MesosContext Job MesosJob Service UpdateConfig QueueUpdateStrategy
BatchUpdateStrategy VariableBatchUpdateStrategy HealthCheckConfig HealthCheckerConfig HttpHealthChecker
ShellHealthChecker LifecycleConfig HttpLifecycleConfig Announcer Container Docker Parameter Mesos AppcImage
DockerImage Volume PartitionPolicy Metadata ExecutorConfig PercentageSlaPolicy CountSlaPolicy
CoordinatorSlaPolicy MesosTaskInstance DefaultHealthChecker DefaultLifecycleConfig DisableLifecycle order
SimpleTask SequentialTask Tasks Processes Units Options combine_tasks concat_tasks java_options python_options
include
"""
        self.job("for word in '''%s'''.split(): eval(word)\n%s" % (words, JOB))

    def test_sizes_are_powers_of_1024(self):
        self.job("assert (BYTES, KB, MB, GB, TB) == tuple(1024 ** n for n in range(5))\n" + JOB)

    def test_old_imports_and_builtins_work(self):
        text = """
from pystachio import *
from apache.aurora.config.schema.base import Job as OtherJob
from twitter.common import log
assert OtherJob is Job and isinstance(u'x', unicode) and list(xrange(2)) == [0, 1]
"""
        self.job(text + JOB)

    def test_hooks_are_counted(self):
        answer = self.load(JOB + "hooks = [object(), object()]")
        self.assertEqual(2, answer["hooks"])

    def test_includes_share_one_namespace_and_start_at_their_file(self):
        answer = self.load_file("everything.aurora")
        self.assertEqual(
            ["docker", "mesos", "appc"], [job["key"]["name"] for job in answer["jobs"]]
        )

    def test_the_last_assignment_wins(self):
        self.assertEqual("n", self.job("jobs = [1]\n" + JOB)["key"]["name"])


class Places(LoaderTest):
    def assert_place(self, error, kind, line, words, field=None):
        found = (error["kind"], error["line"], error["field"])
        self.assertEqual((kind, line, field), found, error)
        self.assertIn(words, error["message"])

    def test_missing_files(self):
        error = self.load_file("nothing.aurora")["error"]
        self.assertEqual("not_found", error["kind"])
        self.assertEqual("nothing.aurora", os.path.basename(error["file"]))

    def test_directories(self):
        self.assertEqual("not_found", self.load_file("parts")["error"]["kind"])

    def test_missing_includes_name_the_line(self):
        error = self.error("\n\ninclude('/no/such/file')")
        self.assertIn("include() needs a file", error["message"])
        path = os.path.join(HERE, "cases", "circle", "missing.aurora")
        error = self.load_file("missing_include.aurora")["error"]
        self.assert_place(error, "not_found", 2, "there is no such file")
        self.assertNotEqual(path, error["file"])

    def test_included_errors_name_the_way(self):
        error = self.load_file("includes_error.aurora")["error"]
        self.assert_place(error, "exception", 2, "KeyError: 'missing'")
        self.assertEqual("inner.aurora", os.path.basename(error["file"]))
        places = [os.path.basename(place) for place in error["included_from"]]
        self.assertEqual(["outer.aurora:3", "includes_error.aurora:2"], places)

    def test_circles_of_includes_end(self):
        error = self.load_file("circle", "a.aurora")["error"]
        self.assert_place(error, "exception", 2, "includes itself")
        self.assertEqual("b.aurora", os.path.basename(error["file"]))

    def test_syntax_errors(self):
        self.assert_place(self.error("x = 1\ny = = 2\n"), "syntax", 2, "y = = 2")
        self.assert_place(self.error("x = 1\nprint 'x'\n"), "syntax", 2, "Python 3")
        self.assert_place(self.error("x = 1\n\tif:\n"), "syntax", 2, "SyntaxError")
        self.assertEqual("syntax", self.error("x = '\0'")["kind"])

    def test_exceptions_name_the_innermost_line_of_the_user(self):
        self.assert_place(self.error("\nx = 1 / 0\n"), "exception", 2, "ZeroDivisionError")
        text = "import json\ndef f():\n  return json.loads('{')\n\nf()\n"
        self.assert_place(self.error(text), "exception", 3, "JSONDecodeError")
        self.assert_place(self.error("\nundefined_name"), "exception", 2, "NameError")
        self.assert_place(self.error("\n{}.iteritems()"), "exception", 2, "use items")

    def test_a_file_cannot_end_the_program(self):
        self.assert_place(self.error("import sys\nsys.exit(0)"), "exception", 2, "SystemExit")

    def test_objects_may_raise_after_the_file_has_run(self):
        text = (
            "class Odd(list):\n  def __iter__(self):\n    raise KeyError('odd')\njobs = Odd([1])\n"
        )
        self.assert_place(self.error(text), "exception", 3, "KeyError: 'odd'")

    def test_unknown_attributes_name_line_and_field(self):
        text = "p = Process(\n  name = 'p',\n  cmd = 'true')\n"
        self.assert_place(self.error(text), "type", 3, "no attribute 'cmd'", "Process.cmd")

    def test_wrong_values_name_line_and_field(self):
        text = "t = Task(\n  name = 't',\n  resources = {\n    'cpu': [1]})\n"
        self.assert_place(self.error(text), "type", 3, "expected a number", "Task.resources.cpu")
        text = "t = Task(\n  processes = [\n    'echo'])\n"
        self.assert_place(self.error(text), "type", 2, "expected a Process", "Task.processes[0]")

    def test_enums_name_line_and_field(self):
        text = "\nl = Logger(mode = 'none')"
        self.assert_place(self.error(text), "type", 2, "one of standard, rotate", "Logger.mode")

    def test_late_errors_name_the_line_that_gave_the_value(self):
        text = """
r = Resources(
  cpu = 'two',
  ram = 1*MB, disk = 1*MB)
t = Task(processes = [Process(name = 'p', cmdline = 'x')], resources = r)
jobs = [Job(cluster = 'c', role = 'r', environment = 'e', task = t)]
"""
        error = self.error(text)
        self.assert_place(error, "type", 3, "a number, got 'two'", "Job.task.resources.cpu")

    def test_missing_attributes_name_the_line_of_the_struct(self):
        text = """
p = Process(name = 'p')
t = Task(processes = [p], resources = Resources(cpu = 1, ram = 1*MB, disk = 1*MB))
jobs = [Job(cluster = 'c', role = 'r', environment = 'e', task = t)]
"""
        error = self.error(text)
        self.assert_place(error, "type", 2, "required", "Job.task.processes[0].cmdline")

    def test_references_without_a_value_name_line_and_field(self):
        text = JOB.replace("'true'", "'echo {{profile.x}}'")
        error = self.error(text)
        field = "Job.task.processes[0].cmdline"
        self.assert_place(error, "unbound", 3, "{{profile.x}} has no value", field)

    def test_overrides_have_lines_of_their_own(self):
        text = "p = Process(name = 'p', cmdline = 'x')\n" + JOB.replace(
            "Process(name = 'p', cmdline = 'true')", "p(\n    max_failures = 'x')"
        )
        error = self.error(text)
        self.assert_place(error, "type", 5, "whole number", "Job.task.processes[0].max_failures")


class Selecting(LoaderTest):
    KEY = {"cluster": "c", "role": "r", "environment": "e", "name": "n"}

    def test_one_of_many(self):
        text = JOB + "jobs = [jobs[0](name = n) for n in ('m', 'n', 'o')]"
        self.assertEqual(3, len(self.jobs(text)))
        self.assertEqual(self.KEY, self.job(text, select=self.KEY)["key"])

    def test_none(self):
        error = self.error(JOB, select=dict(self.KEY, name="x"))
        self.assertEqual("selection", error["kind"])
        self.assertIn("no job c/r/e/x; the file has:\n  c/r/e/n", error["message"])

    def test_several(self):
        error = self.error(JOB + "jobs = jobs * 2", select=self.KEY)
        self.assertIn("c/r/e/n is there 2 times", error["message"])

    def test_missing_environments_are_shown(self):
        text = JOB + "jobs = [jobs[0](environment = Empty)]"
        self.assertIn("c/r/{MISSING}/n", self.error(text, select=self.KEY)["message"])
        listed = self.load(text, want="list")["jobs"]
        self.assertEqual("{MISSING}", listed[0]["key"]["environment"])

    def test_files_need_jobs(self):
        for text in ("", "jobs = []", "jobs = 5", JOB + "jobs = jobs[0]"):
            self.assertEqual("selection", self.error(text)["kind"])
        error = self.error(JOB + "jobs = [jobs[0], 'x']")
        self.assertEqual(("type", "jobs[1]"), (error["kind"], error["field"]))

    def test_jobs_need_a_cluster_a_role_and_processes(self):
        for name in ("cluster", "role", "task"):
            text = JOB + "\njobs = [jobs[0](%s = Empty)]" % name
            error = self.error(text)
            self.assertEqual(("Job." + name, 6), (error["field"], error["line"]))
        error = self.error(JOB.replace("processes = [Process(name = 'p', cmdline = 'true')],", ""))
        self.assertEqual("Job.task.processes", error["field"])


class Binding(LoaderTest):
    TEXT = (
        JOB.replace("'true'", "'{{profile.x}} {{y}}'")
        + "jobs = [jobs[0].bind(profile = {'x': 1}, y = 2)]"
    )

    def command(self, *bindings):
        job = self.job(self.TEXT, bindings=list(bindings))
        return job["job"]["task"]["processes"][0]["cmdline"]

    def test_the_command_line_has_the_last_word(self):
        self.assertEqual("1 2", self.command())
        self.assertEqual("9 8", self.command(["profile.x", "9"], ["y", "8"]))
        self.assertEqual("7 2", self.command(["profile.x", "9"], ["profile.x", "7"]))

    def test_bindings_select_too(self):
        text = JOB.replace("name = 'n'", "name = '{{which}}'")
        job = self.job(text, bindings=[["which", "n"]], select=Selecting.KEY)
        self.assertEqual("n", job["key"]["name"])

    def test_bindings_have_a_grammar(self):
        error = self.error(JOB, bindings=[["a-b", "1"]])
        self.assertIn("--bind a-b=1", error["message"])

    def test_role_and_cluster_are_bound(self):
        text = JOB.replace("'true'", "'{{mesos.role}} {{mesos.cluster}} {{thermos.user}}'")
        self.assertEqual("r c r", self.job(text)["job"]["task"]["processes"][0]["cmdline"])


if __name__ == "__main__":
    unittest.main()
