"""References between double braces and the scopes they are looked up in."""

import unittest

from support import LoaderTest, names

N = names()
String, Integer, List, Map = N["String"], N["Integer"], N["List"], N["Map"]
Struct, Environment, Process, Task, Job = (
    N["Struct"],
    N["Environment"],
    N["Process"],
    N["Task"],
    N["Job"],
)
Required, Default, Ref = N["Required"], N["Default"], N["Ref"]


def text(template, **names):
    return String(template).bind(**names).interpolate()[0].get()


def inside(template, job=None, task=None, process=None):
    """The command line of a process in a task in a job."""
    one = Process(name="p", cmdline=template).bind(**(process or {}))
    whole = Task(name="t", processes=[one], resources={"cpu": 1, "ram": 2, "disk": 3})
    whole = whole.bind(**(task or {}))
    top = Job(name="j", role="r", cluster="c", environment="e", task=whole).bind(**(job or {}))
    return top.task().processes()[0].cmdline().get()


class Grammar(LoaderTest):
    def test_names_dots_and_indexes(self):
        self.assertEqual("1", text("{{a.b}}", a={"b": 1}))
        self.assertEqual(
            "1", String("{{a[b-c/d.e]}}").bind({"a[b-c/d.e]": 1}).interpolate()[0].get()
        )

    def test_other_braces_are_text(self):
        for same in ("{{}}", "{ {x} }", "{x}", "}}{{", "{{a}b}}"):
            self.assertEqual(same, text(same, x=1, a=2))

    def test_three_braces_hold_a_reference(self):
        self.assertEqual("{1}", text("{{{x}}}", x=1))

    def test_an_ampersand_keeps_the_braces(self):
        self.assertEqual("{{x}}", text("{{&x}}", x=1))
        self.assertEqual("{{print $1}}", text("{{&print $1}}"))

    def test_what_is_no_address_is_an_error(self):
        for bad in ("{{print $1}}", "{{a-b}}", "{{x[a:b]}}", "{{ x }}", "{{1}}"):
            check = String(bad).check()
            self.assertFalse(check.ok(), bad)
            self.assertIn("is not a reference", check.message())

    def test_addresses_are_compared_by_parts(self):
        self.assertEqual(Ref.from_address("a.b[c]"), Ref.from_address("a.b[c]"))
        self.assertEqual("a.b[c]", Ref.from_address("a.b[c]").address)


class Resolution(LoaderTest):
    def test_inner_braces_are_resolved_first(self):
        table = Map(String, Integer)({"i1": 10, "i2": 20})
        self.assertEqual("20", text("{{ports[i{{n}}]}}", ports=table, n=2))

    def test_replacements_are_resolved_again(self):
        self.assertEqual("end", text("{{a}}", a="{{b}}", b="{{c}}", c="end"))

    def test_what_has_no_value_stays_and_is_reported(self):
        value, left = String("{{a}} {{b.c}}").bind(a=1).interpolate()
        self.assertEqual("1 {{b.c}}", value.get())
        self.assertEqual(["b.c"], [ref.address for ref in left])

    def test_it_is_an_error_for_other_types(self):
        self.assertTrue(String("{{a}}").check().ok())
        self.assertFalse(Integer("{{a}}").check().ok())

    def test_circles_end(self):
        for circle in (
            Process(name="{{name}}", cmdline="x"),
            Process(name="{{name}}{{name}}", cmdline="x"),
            String("{{a}}").bind(a="{{b}}", b="{{a}}"),
            String("{{a}}").bind(a="{{a}}{{a}}"),
        ):
            self.assertIn("leads back to itself", circle.check().message())

    def test_a_whole_struct_is_no_text(self):
        check = Task(name="{{processes}}", processes=[]).check()
        self.assertIn("a whole ProcessList", check.message())

    def test_numbers_read_as_their_type(self):
        self.assertEqual("1.0 2", inside("{{resources.cpu}} {{resources.ram}}"))


class Scopes(LoaderTest):
    def test_later_binds_win(self):
        self.assertEqual("2", String("{{x}}").bind(x=1).bind(x=2).interpolate()[0].get())
        self.assertEqual("2", String("{{x}}").bind({"x": 1}, {"x": 2}).interpolate()[0].get())
        self.assertEqual("2", String("{{x}}").bind({"x": 1}, x=2).interpolate()[0].get())

    def test_in_scope_comes_last(self):
        self.assertEqual("1", String("{{x}}").bind(x=1).in_scope(x=2).interpolate()[0].get())
        self.assertEqual("2", String("{{x}}").in_scope(x=2).interpolate()[0].get())

    def test_percent_binds_and_resolves(self):
        self.assertEqual("1", (String("{{x}}") % {"x": 1}).get())
        self.assertEqual("1", (String("{{x}}") % Environment(x=1)).get())

    def test_attributes_shadow_binds(self):
        self.assertEqual("p", inside("{{name}}", process={"name": "other"}))

    def test_binds_set_no_attributes(self):
        self.assertFalse(Process().bind(name="x").has_name())

    def test_inner_binds_shadow_outer_ones(self):
        self.assertEqual("3", inside("{{x}}", job={"x": 1}, task={"x": 2}, process={"x": 3}))
        self.assertEqual("2", inside("{{x}}", job={"x": 1}, task={"x": 2}))

    def test_attributes_of_all_ancestors_are_visible(self):
        self.assertEqual("r c e 1", inside("{{role}} {{cluster}} {{environment}} {{instances}}"))
        self.assertEqual(
            "t p 1", inside("{{task.name}} {{processes[0].name}} {{update_config.batch_size}}")
        )

    def test_self_and_super(self):
        self.assertEqual("p", inside("{{self.name}}"))
        self.assertEqual("j", inside("{{super.name}}"))
        task = Task(name="t", processes=[Process(name="p", cmdline="{{super.name}}")])
        self.assertEqual("t", task.processes()[0].cmdline().get())

    def test_defaults_refer_too(self):
        task = Task(processes=[Process(name="first", cmdline="x")])
        self.assertEqual("first", task.name().get())
        job = Job(task=task)
        self.assertEqual("first", job.name().get())

    def test_structs_maps_and_lists_can_be_bound(self):
        class Site(Struct):
            name = Required(String)
            greeting = Default(String, "hi {{name}} {{other}}")

        site = Site(name="lab")
        self.assertEqual("hi lab o", text("{{site.greeting}}", site=site, other="o"))
        self.assertEqual("b", text("{{l[1]}}", l=List(String)(["a", "b"])))
        self.assertEqual("{{l[2]}}", text("{{l[2]}}", l=List(String)(["a", "b"])))
        self.assertEqual("{{m.a}}", text("{{m.a}}", m=Map(String, String)({"a": "b"})))
        self.assertEqual("lab", String("{{name}}").bind(site).interpolate()[0].get())

    def test_members_can_be_overridden(self):
        class Site(Struct):
            a = Default(String, "1")
            b = Default(String, "2")

        value = String("{{s.a}}{{s.b}}").bind(s=Site()).bind({"s.b": "9"})
        self.assertEqual("19", value.interpolate()[0].get())

    def test_plain_lists_cannot_be_bound(self):
        with self.assertRaises(ValueError):
            String("{{x}}").bind(x=["a"])
        with self.assertRaises(ValueError):
            String("{{x}}").bind(["a"])


if __name__ == "__main__":
    unittest.main()
