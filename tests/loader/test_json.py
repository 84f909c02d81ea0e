"""JSON job files."""

import json
import unittest

from support import LoaderTest

JOB = {
    "cluster": "c",
    "role": "r",
    "environment": "e",
    "task": {
        "processes": [{"name": "p", "cmdline": "true"}],
        "resources": {"cpu": 1, "ram": 1048576, "disk": 1048576},
    },
}


class JsonFiles(LoaderTest):
    def load_json(self, data, **more):
        text = data if isinstance(data, str) else json.dumps(data, indent=1)
        return self.load(text, is_json=True, **more)

    def test_a_bare_job(self):
        answer = self.load_json(JOB)
        self.assertEqual("p", answer["jobs"][0]["key"]["name"])

    def test_a_list_of_jobs(self):
        answer = self.load_file("jobs.json", is_json=True, bindings=[["x", "y"]])
        self.assertEqual(["p", "q"], [job["key"]["name"] for job in answer["jobs"]])
        self.assertEqual("echo y", answer["jobs"][0]["job"]["task"]["processes"][0]["cmdline"])
        self.assertIn("docker", answer["jobs"][1]["config"]["taskConfig"]["container"])

    def test_what_inspect_writes_is_read_back(self):
        first = self.load_json(JOB)["jobs"][0]
        self.assertEqual(first, self.load_json(first["job"])["jobs"][0])

    def test_late_errors_name_the_line(self):
        error = self.load_file("jobs.json", is_json=True)["error"]
        self.assertEqual(
            ("unbound", 4, "jobs[0].task.processes[0].cmdline"),
            (error["kind"], error["line"], error["field"]),
        )

    def test_early_errors_name_the_line(self):
        bad = json.loads(json.dumps(JOB))
        bad["task"]["processes"][0]["cmdlin"] = "x"
        error = self.load_json({"jobs": [JOB, bad]})["error"]
        self.assertEqual("jobs[1].task.processes[0].cmdlin", error["field"])
        lines = json.dumps({"jobs": [JOB, bad]}, indent=1).split("\n")
        self.assertIn('cmdlin"', lines[error["line"] - 1])

    def test_missing_members_name_the_line_of_their_object(self):
        bad = json.loads(json.dumps(JOB))
        del bad["task"]["resources"]["ram"]
        error = self.load_json(bad)["error"]
        self.assertEqual("Job.task.resources.ram", error["field"])
        lines = json.dumps(bad, indent=1).split("\n")
        self.assertIn('"resources": {', lines[error["line"] - 1])

    def test_syntax_errors_name_the_line(self):
        error = self.load_json('{"jobs": [\n{,]}')["error"]
        self.assertEqual(("syntax", 2), (error["kind"], error["line"]))
        self.assertEqual("syntax", self.load_json("[" * 100000)["error"]["kind"])

    def test_other_shapes_are_refused(self):
        for bad in ([], 3, {"jobs": {}}, {"jobs": [], "x": 1}, {"jobs": [3]}, {"jobs": []}):
            self.assertIn("error", self.load_json(bad), bad)


if __name__ == "__main__":
    unittest.main()
