"""From a Job to what the API takes."""

import json
import unittest

from support import JOB, LoaderTest


class Configuration(LoaderTest):
    def config(self, **parts):
        return self.one(**parts)["config"]["taskConfig"]

    def test_defaults(self):
        job = self.one()
        self.assertEqual({"cluster": "c", "role": "r", "environment": "e", "name": "n"}, job["key"])
        config = job["config"]
        self.assertEqual(
            ("tester", None, "KILL_EXISTING", 1),
            (
                config["owner"],
                config["cronSchedule"],
                config["cronCollisionPolicy"],
                config["instanceCount"],
            ),
        )
        task = dict(config["taskConfig"])
        self.assertEqual("AuroraExecutor", task.pop("executorConfig")["name"])
        self.assertEqual(
            {
                "isService": False,
                "priority": 0,
                "maxTaskFailures": 1,
                "production": False,
                "tier": None,
                "contactEmail": None,
                "resources": [{"numCpus": 1.0}, {"ramMb": 8}, {"diskMb": 4}],
                "constraints": [],
                "metadata": [],
                "partitionPolicy": None,
                "slaPolicy": None,
                "container": {"mesos": {"image": None, "volumes": []}},
            },
            task,
        )

    def test_names_come_from_the_task_and_its_first_process(self):
        self.assertEqual("p", self.job(JOB.replace("name = 'n', ", ""))["key"]["name"])

    def test_some_attributes_can_be_cleared(self):
        self.one(
            job="lifecycle = Empty, health_check_config = Empty, metadata = Empty",
            task="constraints = Empty",
        )
        for name in ("name", "update_config", "executor_config", "service"):
            self.refused("type", "Job." + name, "cannot be Empty", job=name + " = Empty")
        self.refused(
            "type",
            "Job.task.processes[0].final",
            "cannot be Empty",
            process="final = Empty",
        )

    def test_constraints(self):
        got = self.config(job="constraints = {'host': 'limit:3', 'a': '!x,y', 'b': 'x, y'}")
        self.assertEqual(
            [
                {"name": "a", "constraint": {"value": {"negated": True, "values": ["x", "y"]}}},
                {"name": "b", "constraint": {"value": {"negated": False, "values": ["x", " y"]}}},
                {"name": "host", "constraint": {"limit": {"limit": 3}}},
            ],
            got["constraints"],
        )

    def test_metadata_pairs_count_once(self):
        pairs = "metadata = [{'key': 'k', 'value': v} for v in 'bab']"
        self.assertEqual(
            [{"key": "k", "value": "a"}, {"key": "k", "value": "b"}],
            self.config(job=pairs)["metadata"],
        )

    def test_cron(self):
        got = self.one(job="cron_schedule = '* * * * *', cron_collision_policy = 'cancel_new'")
        self.assertEqual("* * * * *", got["config"]["cronSchedule"])
        self.assertEqual("CANCEL_NEW", got["config"]["cronCollisionPolicy"])
        self.refused(
            "type", "Job.cron_collision_policy", "KILL_EXISTING", job="cron_collision_policy = 'x'"
        )

    def test_policies(self):
        got = self.config(
            job="partition_policy = PartitionPolicy(reschedule = False), "
            "sla_policy = CountSlaPolicy(count = 2, duration_secs = 60)"
        )
        self.assertEqual({"reschedule": False, "delaySecs": 0}, got["partitionPolicy"])
        self.assertEqual({"countSlaPolicy": {"count": 2, "durationSecs": 60}}, got["slaPolicy"])
        got = self.config(job="sla_policy = {'percentage': 90, 'duration_secs': 60}")
        self.assertEqual(
            {"percentageSlaPolicy": {"percentage": 90.0, "durationSecs": 60}}, got["slaPolicy"]
        )
        got = self.config(job="sla_policy = {'coordinator_url': 'u'}")
        self.assertEqual(
            {"coordinatorSlaPolicy": {"coordinatorUrl": "u", "statusKey": "drain"}},
            got["slaPolicy"],
        )

    def test_containers(self):
        def container(text):
            return self.config(job="container = " + text)["container"]

        docker = {"docker": {"image": "i", "parameters": [{"key": "a", "value": "b"}]}}
        text = "Docker(image = 'i', parameters = [Parameter(name = 'a', value = 'b')])"
        self.assertEqual(docker, container(text))
        self.assertEqual(docker, container("Container(docker = %s)" % text))
        self.assertEqual({"mesos": {"image": None, "volumes": []}}, container("Mesos()"))
        self.assertEqual(
            {"mesos": {"image": {"appc": {"name": "n", "imageId": "i"}}, "volumes": []}},
            container("Mesos(image = AppcImage(name = 'n', image_id = 'i'))"),
        )
        volume = {"containerPath": "c", "hostPath": "h", "mode": "RW"}
        self.assertEqual(
            {"mesos": {"image": {"docker": {"name": "n", "tag": "t"}}, "volumes": [volume]}},
            container(
                "Mesos(image = DockerImage(name = 'n', tag = 't'), "
                "volumes = [Volume(container_path = 'c', host_path = 'h', mode = 'RW')])"
            ),
        )

    def test_other_executors_take_their_data_as_it_is(self):
        got = self.config(job="executor_config = ExecutorConfig(name = 'x', data = 'y')")
        self.assertEqual({"name": "x", "data": "y"}, got["executorConfig"])


class ExecutorData(LoaderTest):
    def data(self, **parts):
        return self.one(**parts)["config"]["taskConfig"]["executorConfig"]["data"]

    def test_instances_and_update_config_are_no_part_of_it(self):
        one = self.data(job="instances = 1")
        two = self.data(job="instances = 5, update_config = UpdateConfig(batch_size = 3)")
        self.assertEqual(one, two)
        self.assertNotIn("instances", json.loads(one))

    def test_keys_are_sorted_and_text_is_ascii(self):
        data = self.data(process="cmdline = u'caf\\u00e9'")
        self.assertEqual(data, json.dumps(json.loads(data), sort_keys=True))
        self.assertIn("caf\\u00e9", data)

    def test_types_are_those_of_the_schema(self):
        data = json.loads(self.data(process="max_failures = '3', daemon = 'true'"))
        process = data["task"]["processes"][0]
        self.assertEqual([3, True], [process["max_failures"], process["daemon"]])
        self.assertIn('"interval_secs": 10.0', self.data())

    def test_what_the_machine_fills_in_stays(self):
        text = "{{thermos.ports[http]}} {{thermos.task_id}} {{mesos.instance}} {{mesos.hostname}}"
        data = json.loads(self.data(process="cmdline = '%s'" % text))
        self.assertEqual(text, data["task"]["processes"][0]["cmdline"])


class Resources(LoaderTest):
    def ports(self, **parts):
        resources = self.one(**parts)["config"]["taskConfig"]["resources"]
        return [one["namedPort"] for one in resources if "namedPort" in one]

    def test_sizes_are_cut_to_megabytes(self):
        got = self.one(task="resources = Resources(cpu = 0.1, ram = 3*MB-1, disk = 2*MB, gpu = 2)")
        self.assertEqual(
            [{"numCpus": 0.1}, {"ramMb": 2}, {"diskMb": 2}, {"numGpus": 2}],
            got["config"]["taskConfig"]["resources"],
        )

    def test_there_has_to_be_some_of_each(self):
        for name, value in (("cpu", 0), ("ram", "MB - 1"), ("disk", 0), ("cpu", "'inf'")):
            given = {"cpu": "1", "ram": "MB", "disk": "MB"}
            given[name] = str(value)
            text = "resources = Resources(cpu = {cpu}, ram = {ram}, disk = {disk})".format(**given)
            error = self.refused("type", "Job.task.resources." + name, "must be", task=text)
            self.assertEqual(3, error["line"])

    def test_tasks_need_resources(self):
        self.refused("type", "Job.task.resources", "required", task="resources = Empty")

    def test_ports_are_those_the_processes_name(self):
        two = "cmdline = '{{thermos.ports[b]}} {{thermos.ports[a]}} {{thermos.ports[b]}}'"
        self.assertEqual(["a", "b"], self.ports(process=two))
        check = "HealthCheckConfig(health_checker = HealthCheckerConfig(shell = ShellHealthChecker("
        check += "shell_command = 'x {{thermos.ports[c]}}')))"
        self.assertEqual([], self.ports(job="health_check_config = " + check))

    def test_announcing_asks_for_the_primary_port(self):
        self.assertEqual(["http"], self.ports(job="announce = Announcer()"))
        self.assertEqual(["www"], self.ports(job="announce = Announcer(primary_port = 'www')"))

    def test_the_port_map_gives_further_names(self):
        refs = "cmdline = '%s'" % " ".join(
            "{{thermos.ports[%s]}}" % name for name in ("tcp", "http", "alias", "health")
        )
        announce = "announce = Announcer(portmap = {'alias': 'http'})"
        self.assertEqual(["health", "http", "tcp"], self.ports(process=refs, job=announce))

    def test_the_port_map_is_followed_to_its_end(self):
        announce = "announce = Announcer(portmap = {'aurora': 'http', 'http': '80'}), "
        announce += "constraints = {'dedicated': 'x'}"
        refs = "cmdline = '{{thermos.ports[aurora]}} {{thermos.ports[http]}}'"
        self.assertEqual([], self.ports(process=refs, job=announce))

    def test_circles_of_ports_are_refused(self):
        announce = "announce = Announcer(portmap = {'a': 'b', 'b': 'a'})"
        self.refused("type", "Job.announce.portmap", "circle", job=announce)

    def test_fixed_ports_need_dedicated_hosts(self):
        announce = "announce = Announcer(portmap = {'http': '80'})"
        self.refused("type", "Job.announce.portmap", "dedicated", job=announce)


class References(LoaderTest):
    def test_all_but_four_need_values(self):
        for name in (
            "x",
            "thermos.other",
            "thermos.ports",
            "thermos.ports.http",
            "mesos.instances",
        ):
            self.refused(
                "unbound",
                "Job.task.processes[0].cmdline",
                "{{%s}} has no value" % name,
                process="cmdline = '{{%s}}'" % name,
            )

    def test_numbers_cannot_wait_for_the_machine(self):
        self.refused(
            "unbound",
            "Job.task.processes[0].max_failures",
            "{{mesos.instance}}",
            process="max_failures = '{{mesos.instance}}'",
        )

    def test_what_the_machine_fills_in_cannot_be_inside_others(self):
        for text in ("{{x[{{mesos.instance}}]}}", "{{thermos.ports[{{mesos.instance}}]}}"):
            self.refused(
                "unbound", "Job.task.processes[0].cmdline", "[0]", process="cmdline = '%s'" % text
            )

    def test_escaped_braces_are_fine(self):
        job = self.one(process="cmdline = 'docker ps --format {{&.Names}} {{&x}}'")
        self.assertEqual(
            "docker ps --format {{.Names}} {{x}}", job["job"]["task"]["processes"][0]["cmdline"]
        )

    def test_bad_addresses_are_refused(self):
        self.refused(
            "type",
            "Job.task.processes[0].cmdline",
            "write {{&print $1}}",
            process="cmdline = 'awk {{print $1}}'",
        )

    def test_names_that_lead_to_themselves_are_refused(self):
        self.refused(
            "type",
            "Job.task.processes[0].name",
            "back to itself",
            process="name = '{{name}}'",
            task="name = 't'",
        )


class Identifiers(LoaderTest):
    def test_parts_of_the_key(self):
        for name in ("role", "environment", "name"):
            for bad in ("a/b", "a b", "", "a\\n"):
                self.refused("type", "Job." + name, "may hold only", job="%s = '%s'" % (name, bad))
        self.assertEqual("a.b-c_1", self.one(job="name = 'a.b-c_1'")["key"]["name"])

    def test_processes(self):
        for bad in ("", ".x", "a/b", "/"):
            self.refused(
                "type", "Job.task.processes[0].name", "no name", process="name = '%s'" % bad
            )
        self.one(process="name = 'a process, with words'")

    def test_numbers_fit(self):
        self.refused("type", "Job.instances", "out of range", job="instances = 0")
        self.refused("type", "Job.priority", "out of range", job="priority = 2**31")


class Plans(LoaderTest):
    BEFORE = """
def P(name, **kw):
  return Process(name = name, cmdline = 'x', **kw)
"""

    def plan(self, processes, constraints=""):
        return {
            "before": self.BEFORE,
            "task": "processes = [%s], constraints = %s" % (processes, constraints or "[]"),
        }

    def test_orders_that_work(self):
        for processes, constraints in (
            ("P('a'), P('b'), P('c')", "order('a', 'b') + order('b', 'c') + order('a', 'c')"),
            ("P('a'), P('d', daemon = True)", "order('a', 'd')"),
            ("P('a'), P('e', ephemeral = True)", "order('a', 'e')"),
            ("P('e', ephemeral = True), P('f', ephemeral = True)", "order('e', 'f')"),
            ("P('a'), P('f', final = True), P('g', final = True)", "order('f', 'g')"),
            ("P('a')", "order('a')"),
        ):
            self.one(**self.plan(processes, constraints))

    def test_long_orders_work(self):
        many = "*[P('p%d' % n) for n in range(3000)]"
        self.one(**self.plan(many, "order(*['p%d' % n for n in range(3000)])"))

    def test_orders_that_do_not(self):
        for processes, constraints, words in (
            ("P('a'), P('b')", "order('a', 'b', 'a')", "circle: "),
            ("P('a'), P('b'), P('c')", "order('a', 'b', 'c') + order('c', 'a')", "circle: "),
            ("P('a')", "order('a', 'a')", "circle: a < a"),
            ("P('a')", "order('a', 'x')", "no process 'x'"),
            ("P('d', daemon = True), P('a')", "order('d', 'a')", "waits for the daemon"),
            ("P('d', daemon = True), P('a', daemon = True)", "order('d', 'a')", "the daemon"),
            ("P('e', ephemeral = True), P('a')", "order('e', 'a')", "is ephemeral"),
            ("P('a'), P('f', final = True)", "order('a', 'f')", "final and ordinary"),
        ):
            error = self.error(self.text(**self.plan(processes, constraints)))
            self.assertEqual("type", error["kind"])
            self.assertIn(words, error["message"])
            self.assertIn("Job.task.constraints[", error["field"])

    def test_names_are_unique(self):
        error = self.error(self.text(**self.plan("P('a'), P('a')")))
        self.assertEqual("Job.task.processes[1].name", error["field"])

    def test_tasks_need_a_process(self):
        error = self.error(self.text(**self.plan("")))
        self.assertEqual("Job.task.processes", error["field"])


class Updates(LoaderTest):
    def update(self, config):
        return self.one(job="instances = 5, update_config = UpdateConfig(%s)" % config)["update"]

    def settings(self, config):
        return self.update(config)["Ok"]

    def test_defaults(self):
        self.assertEqual(
            {
                "updateGroupSize": 1,
                "maxPerInstanceFailures": 0,
                "maxFailedInstances": 0,
                "minWaitInInstanceRunningMs": 45000,
                "rollbackOnFailure": True,
                "waitForBatchCompletion": False,
                "blockIfNoPulsesAfterMs": None,
                "slaAware": False,
                "updateStrategy": {"queueStrategy": {"groupSize": 1}},
            },
            self.settings(""),
        )

    def test_strategies(self):
        for config, size, waits, strategy in (
            (
                "batch_size = 3, wait_for_batch_completion = True",
                3,
                True,
                {"batchStrategy": {"groupSize": 3, "autopauseAfterBatch": False}},
            ),
            (
                "update_strategy = QueueUpdateStrategy(batch_size = 4)",
                4,
                False,
                {"queueStrategy": {"groupSize": 4}},
            ),
            (
                "update_strategy = BatchUpdateStrategy(batch_size = 4, autopause_after_batch = True)",
                4,
                True,
                {"batchStrategy": {"groupSize": 4, "autopauseAfterBatch": True}},
            ),
            (
                "update_strategy = {'batch_sizes': [1, 2]}",
                1,
                False,
                {"varBatchStrategy": {"groupSizes": [1, 2], "autopauseAfterBatch": False}},
            ),
        ):
            got = self.settings(config)
            self.assertEqual(
                (size, waits, strategy),
                (got["updateGroupSize"], got["waitForBatchCompletion"], got["updateStrategy"]),
            )

    def test_pulses(self):
        self.assertEqual(60000, self.settings("pulse_interval_secs = 60")["blockIfNoPulsesAfterMs"])

    def test_updates_that_cannot_be(self):
        for config, words in (
            ("batch_size = 0", "batch_size: must be more than 0"),
            ("pulse_interval_secs = 59", "pulse_interval_secs: must be at least 60"),
            ("batch_size = 2, update_strategy = QueueUpdateStrategy()", "batch_size: cannot go"),
            (
                "wait_for_batch_completion = True, update_strategy = QueueUpdateStrategy()",
                "wait_for_batch_completion: cannot go",
            ),
            ("update_strategy = VariableBatchUpdateStrategy(batch_sizes = [0])", "more than 0"),
            ("watch_secs = 10**7", "out of range"),
        ):
            error = self.update(config)["Err"]
            self.assertIn(words, error)
            self.assertIn("test.aurora:4: Job.update_config", error)


class Rules(LoaderTest):
    def test_failures_are_fewer_than_instances(self):
        job = "instances = 2, update_config = UpdateConfig(max_total_failures = %d)"
        self.one(job=job % 1)
        error = self.refused(
            "fatal", "Job.update_config.max_total_failures", "less than", job=job % 2
        )
        self.assertEqual(4, error["line"])

    def test_dedicated_jobs_allow_some_failures(self):
        job = "instances = 100, constraints = {'dedicated': 'x'}, "
        job += "update_config = UpdateConfig(max_total_failures = %d)"
        self.one(job=job % 2)
        self.refused("fatal", "Job.update_config.max_total_failures", "2 %", job=job % 1)

    def test_nothing_is_negative(self):
        self.refused(
            "fatal",
            "Job.update_config.watch_secs",
            "negative",
            job="update_config = UpdateConfig(watch_secs = -1)",
        )
        for name in (
            "max_consecutive_failures",
            "min_consecutive_successes",
            "initial_interval_secs",
            "interval_secs",
        ):
            self.refused(
                "fatal",
                "Job.health_check_config." + name,
                "negative",
                job="health_check_config = HealthCheckConfig(%s = -1)" % name,
            )

    def test_warnings(self):
        warnings = self.load(self.text(job="production = True"))["warnings"]
        self.assertIn("`production` is deprecated", warnings[0])
        announce = "announce = Announcer(primary_port = 'x', portmap = {})"
        warnings = self.load(self.text(job=announce))["warnings"]
        self.assertIn("announced port x", warnings[0])
        self.assertEqual([], self.load(JOB)["warnings"])


if __name__ == "__main__":
    unittest.main()
