"""Functions that put processes and tasks together."""

import unittest

from support import LoaderTest, names

N = names()
Process, Task, Resources, Constraint = N["Process"], N["Task"], N["Resources"], N["Constraint"]
GB, MB, Empty = N["GB"], N["MB"], N["Empty"]


def task(name, *processes, **more):
    return Task(name=name, processes=[Process(name=p, cmdline=p) for p in processes], **more)


def orders(whole):
    return [list(one.order().get()) for one in whole.constraints()]


def process_names(whole):
    return [process.name().get() for process in whole.processes()]


class Order(LoaderTest):
    def test_takes_processes_and_names(self):
        made = N["order"](Process(name="a", cmdline="x"), "b")
        self.assertEqual([("a", "b")], [one.order().get() for one in made])
        self.assertEqual(2, len(N["order"]("a", "b") + N["order"]("c", "d")))

    def test_is_also_a_member(self):
        self.assertEqual(N["order"]("a"), N["Processes"].order("a"))


class Making(LoaderTest):
    def test_simple(self):
        for make in (N["SimpleTask"], N["Tasks"].simple):
            made = make("hello", "echo hello")
            self.assertEqual(["hello"], process_names(made))
            self.assertEqual({"cpu": 1.0, "ram": GB, "disk": GB, "gpu": 0}, made.resources().get())

    def test_sequential(self):
        made = N["SequentialTask"](
            name="s", processes=[Process(name=n, cmdline="x") for n in "abc"]
        )
        self.assertEqual([["a", "b", "c"]], orders(made))
        self.assertEqual([["a", "b"]], orders(N["Tasks"].sequential(task("t", "a", "b"))))

    def test_sequential_takes_no_constraints(self):
        with self.assertRaises(ValueError):
            N["SequentialTask"](processes=[], constraints=N["order"]("a", "b"))


class Joining(LoaderTest):
    def setUp(self):
        self.one = task(
            "one", "a", "b", resources=Resources(cpu=1, ram=1 * GB, disk=5), finalization_wait=10
        )
        self.two = task(
            "two",
            "c",
            resources=Resources(cpu=2, ram=512 * MB, disk=6),
            constraints=N["order"]("c"),
        )

    def test_combine_adds(self):
        made = N["Tasks"].combine(self.one, self.two, max_failures=7)
        self.assertEqual("two", made.name().get())
        self.assertEqual(["a", "b", "c"], process_names(made))
        self.assertEqual(
            {"cpu": 3.0, "ram": GB + 512 * MB, "disk": 11, "gpu": 0}, made.resources().get()
        )
        self.assertEqual([30, 7], [made.finalization_wait().get(), made.max_failures().get()])
        self.assertEqual([["c"]], orders(made))

    def test_concat_orders(self):
        made = N["concat_tasks"](self.one, self.two)
        self.assertEqual([["c"], ["a", "c"], ["b", "c"]], orders(made))
        self.assertEqual({"cpu": 2.0, "ram": GB, "disk": 6, "gpu": 0}, made.resources().get())
        self.assertEqual(40, made.finalization_wait().get())

    def test_the_same_process_counts_once(self):
        made = N["combine_tasks"](task("x", "a"), task("y", "a", "b"))
        self.assertEqual(["a", "b"], process_names(made))
        self.assertFalse(made.has_resources())

    def test_processes_keep_what_their_task_bound(self):
        one = Task(name="one", processes=[Process(name="p", cmdline="{{x}} {{y}} {{&z}}")]).bind(
            x=1
        )
        made = N["Tasks"].combine(one, task("two", "q")).bind(x=5, y=2)
        self.assertEqual("1 2 {{z}}", made.processes()[0].cmdline().get())

    def test_nothing_makes_an_empty_task(self):
        self.assertEqual(Task(), N["Tasks"].combine())
        self.assertEqual(Task(), N["Tasks"].concat())

    def test_resources_need_numbers(self):
        open_task = task("x", "a", resources=Resources(cpu="{{c}}", ram=1, disk=1))
        with self.assertRaises(ValueError) as caught:
            N["Tasks"].combine(open_task, open_task)
        self.assertIn("before its references are bound", str(caught.exception))


class UnitsOfTasks(LoaderTest):
    def test_empty_counts_as_nothing(self):
        units = N["Units"]
        self.assertEqual(0, units.safe_get(Empty))
        self.assertEqual(
            {"cpu": 0.0, "ram": 0, "disk": 0, "gpu": 0},
            units.optional_resources(Empty).interpolate()[0].get(),
        )
        total = units.resources_sum(Resources(cpu=1), Resources(ram=3)).interpolate()[0].get()
        self.assertEqual({"cpu": 1.0, "ram": 3, "disk": 0, "gpu": 0}, total)
        most = units.resources_max([Resources(cpu=1), Resources(cpu=3)])
        self.assertEqual(3.0, most.cpu().get())

    def test_waits(self):
        units = N["Units"]
        self.assertEqual(
            [3, 2], [units.finalization_wait_sum([1, 2]), units.finalization_wait_max([1, 2])]
        )


class CommandLineOptions(LoaderTest):
    def test_java(self):
        self.assertEqual("-server -Xmx 1g -v", N["java_options"]("server", {"Xmx": "1g"}, v=""))
        self.assertEqual("-a 1", N["Options"].java(a=1))

    def test_python(self):
        self.assertEqual("-v --level 3 -n", N["python_options"]("v", level=3, n=0))


if __name__ == "__main__":
    unittest.main()
