"""Values: what each type takes, and what the operations on them answer."""

import unittest

from support import LoaderTest, names

N = names()
String, Integer, Float, Boolean = N["String"], N["Integer"], N["Float"], N["Boolean"]
Enum, List, Map, Choice = N["Enum"], N["List"], N["Map"], N["Choice"]
Struct, Required, Default, Empty = N["Struct"], N["Required"], N["Default"], N["Empty"]


class Inner(Struct):
    size = Default(Integer, 3)
    label = String


class Outer(Struct):
    name = Required(String)
    count = Integer
    inner = Default(Inner, Inner())
    words = List(String)
    table = Map(String, Integer)


def plain(value):
    return value.interpolate()[0].get()


class SimpleTypes(LoaderTest):
    def test_strings_take_text_and_numbers(self):
        self.assertEqual(["a", "3", "2.5", "True"], [plain(String(v)) for v in ("a", 3, 2.5, True)])

    def test_integers_take_numbers_and_their_text(self):
        self.assertEqual([3, 3, 7], [plain(Integer(v)) for v in (3, 3.7, "7")])
        self.assertEqual(13, plain(Integer("{{a}}3").bind(a=1)))

    def test_text_that_is_no_integer_is_found_when_checked(self):
        for bad in ("3.5", "x", ""):
            self.assertFalse(Integer(bad).check().ok())
        self.assertIn("whole number", Integer("x").check().message())

    def test_floats_take_exponents(self):
        self.assertEqual([1.0, 1000.0], [plain(Float(v)) for v in (1, "1e3")])

    def test_booleans_take_words_and_numbers(self):
        given = (True, "TRUE", "1", 2, False, "false", "0", 0)
        self.assertEqual([True] * 4 + [False] * 4, [plain(Boolean(v)) for v in given])
        self.assertFalse(Boolean("yes").check().ok())

    def test_enums_refuse_other_words_at_once(self):
        color = Enum("red", "blue")
        self.assertEqual("red", plain(color("red")))
        with self.assertRaises(ValueError):
            color("green")

    def test_enums_check_templates_when_they_are_resolved(self):
        color = Enum("Color", ("red", "blue"))
        self.assertEqual("blue", plain(color("{{c}}").bind(c="blue")))
        self.assertFalse(color("{{c}}").bind(c="green").check().ok())

    def test_none_and_containers_are_no_text(self):
        for bad in (None, ["a"], {"a": 1}):
            with self.assertRaises(ValueError):
                String(bad)

    def test_values_compare_by_what_they_mean(self):
        self.assertEqual(Integer(3), Integer("3"))
        self.assertNotEqual(String("a"), String("b"))
        self.assertEqual(1, len({String("a"), String("a")}))
        self.assertTrue(Integer(3) < Integer(10))

    def test_numbers_calculate(self):
        self.assertEqual([5, 7, 6.0], [Integer(4) + 1, 8 - Integer(1), Float(3) * 2])


class Containers(LoaderTest):
    def test_lists_wrap_their_elements(self):
        self.assertEqual((1, "a"), List(String)([1, "a"]).get())
        self.assertEqual(["1", "a"], List(String)([1, "a"]).interpolate()[0]._plain())

    def test_text_is_no_list(self):
        with self.assertRaises(ValueError):
            List(String)("abc")

    def test_lists_can_be_walked_and_joined(self):
        words = List(String)(["a", "b"])
        self.assertEqual(["a", "b"], [str(word) for word in words])
        self.assertEqual(3, len(words + ["c"]))
        self.assertIn("a", words)

    def test_maps_take_dictionaries_and_pairs(self):
        table = Map(String, Integer)
        self.assertEqual({"a": 1}, table({"a": 1}).get())
        self.assertEqual({"a": 1, "b": 2}, table(("a", 1), ("b", 2)).get())
        self.assertEqual(table({"a": 1}), table(("a", "1")))

    def test_choices_take_the_first_type_that_fits(self):
        either = Choice([Integer, Inner])
        self.assertEqual(5, either(5).get())
        self.assertEqual({"size": 5}, either({"size": 5}).get())
        with self.assertRaises(ValueError):
            either({"other": 5})

    def test_choices_decide_on_templates_when_resolved(self):
        either = Choice([Integer, String])
        self.assertEqual(5, plain(either("{{x}}").bind(x=5)))
        self.assertEqual("five", plain(either("{{x}}").bind(x="five")))

    def test_types_are_made_of_types(self):
        for bad in (lambda: List(3), lambda: Map(String, "x"), lambda: Choice([])):
            with self.assertRaises(ValueError):
                bad()


class Structs(LoaderTest):
    def test_attributes_have_defaults(self):
        outer = Outer(name="o")
        self.assertEqual(3, outer.inner().size().get())
        self.assertTrue(outer.has_inner())
        self.assertFalse(outer.has_count())
        self.assertIs(Empty, outer.count())

    def test_unknown_attributes_are_refused_with_a_hint(self):
        with self.assertRaises(AttributeError) as caught:
            Outer(nam="o")
        self.assertIn("did you mean 'name'", str(caught.exception))

    def test_unknown_attributes_cannot_be_read(self):
        with self.assertRaises(AttributeError):
            Outer(name="o").nothing()

    def test_calling_a_struct_makes_a_changed_copy(self):
        first = Outer(name="o", count=1)
        second = first(count=2)
        self.assertEqual([1, 2], [first.count().get(), second.count().get()])
        self.assertFalse(first(count=Empty).has_count())

    def test_dictionaries_become_structs(self):
        outer = Outer({"name": "o"}, inner={"size": 4})
        self.assertEqual(4, outer.inner().size().get())

    def test_required_attributes_are_checked(self):
        self.assertEqual("Outer.name: is required and not set", Outer().check().message())
        self.assertTrue(Outer(name="x").check().ok())

    def test_checks_reach_inside(self):
        check = Outer(name="o", inner=Inner(size="big")).check()
        self.assertIn("Outer.inner.size", check.message())

    def test_errors_of_values_name_the_path(self):
        with self.assertRaises(ValueError) as caught:
            Outer(name="o", inner={"size": ["x"]})
        self.assertEqual("Outer.inner.size", caught.exception.field)
        with self.assertRaises(ValueError) as caught:
            Outer(words=["a", None])
        self.assertEqual("Outer.words[1]", caught.exception.field)

    def test_structs_inherit_attributes(self):
        class More(Outer):
            extra = Default(String, "e")

        self.assertEqual("e", More(name="m").extra().get())
        self.assertTrue(Outer._is_type_of(More(name="m")))

    def test_a_struct_declared_twice_is_the_same_type(self):
        def declare():
            class Twin(Struct):
                a = String

            return Twin

        one, two = declare(), declare()
        self.assertEqual(one(a="x"), two(a="x"))

        class Holder(Struct):
            twin = one

        self.assertEqual("x", Holder(twin=two(a="x")).twin().a().get())

    def test_another_struct_is_refused(self):
        with self.assertRaises(ValueError) as caught:
            Outer(inner=Outer(name="x"))
        self.assertIn("expected a Inner, got a Outer", str(caught.exception))

    def test_get_is_what_was_given(self):
        outer = Outer(name="{{x}}", count="4").bind(x="y")
        self.assertEqual("{{x}}", outer.get()["name"])
        self.assertEqual("4", outer.get()["count"])

    def test_json_has_no_empty_attributes(self):
        self.assertEqual(
            '{"inner": {"size": 3}, "name": "o"}', Outer(name="o").json_dumps(sort_keys=True)
        )

    def test_json_is_read_back(self):
        text = '{"name": "o", "inner": {"size": 9, "odd": 1}, "odd": 2}'
        self.assertEqual(9, Outer.json_loads(text).inner().size().get())
        with self.assertRaises(AttributeError):
            Outer.json_loads(text, strict=True)


if __name__ == "__main__":
    unittest.main()
