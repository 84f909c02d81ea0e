"""Whole answers for whole files, kept under golden/.

AURORA_WRITE_GOLDEN=1 writes them anew; read the difference before you commit it.
"""

import glob
import json
import os
import unittest

from support import HERE, ROOT, LoaderTest, main, request

EXAMPLES = sorted(glob.glob(os.path.join(ROOT, "packaging", "examples", "*.aurora")))
FILES = EXAMPLES + [os.path.join(HERE, "cases", "everything.aurora")]


class Golden(LoaderTest):
    def setUp(self):
        self.logname = os.environ.get("LOGNAME")
        os.environ["LOGNAME"] = "www-data"

    def tearDown(self):
        del os.environ["LOGNAME"]
        if self.logname is not None:
            os.environ["LOGNAME"] = self.logname

    def test_answers_are_as_kept(self):
        for file in FILES:
            name = os.path.splitext(os.path.basename(file))[0]
            answer = main.answer_to(request(file))
            self.assertNotIn("error", answer, answer.get("error"))
            kept = os.path.join(HERE, "golden", name + ".json")
            if os.environ.get("AURORA_WRITE_GOLDEN"):
                with open(kept, "w") as stream:
                    json.dump(answer, stream, indent=1, sort_keys=True)
                    stream.write("\n")
            with open(kept) as stream:
                self.assertEqual(json.load(stream), answer, name)

    def test_there_are_examples(self):
        names = [os.path.basename(file) for file in EXAMPLES]
        self.assertIn("hello_world.aurora", names)
        self.assertGreaterEqual(len(names), 6)

    def test_the_first_example_is_small_and_runs_anywhere(self):
        [job] = main.answer_to(
            request(EXAMPLES[[os.path.basename(f) for f in EXAMPLES].index("hello_world.aurora")])
        )["jobs"]
        self.assertEqual(
            {"cluster": "local", "role": "www-data", "environment": "devel", "name": "hello_world"},
            job["key"],
        )
        task = job["config"]["taskConfig"]
        self.assertEqual([{"numCpus": 0.1}, {"ramMb": 16}, {"diskMb": 16}], task["resources"])
        self.assertTrue(task["isService"])


if __name__ == "__main__":
    unittest.main()
