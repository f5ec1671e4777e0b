#include "cm/health/probe.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace tandem::cm {
namespace {

using testing::HasSubstr;

class ProbeTest : public testing::Test {
 protected:
  absl::StatusOr<std::string> Run(const release::v1::Probe& config, absl::Duration timeout = absl::Seconds(10)) {
    release::v1::Probe named = config;
    named.set_name("probe");
    absl::StatusOr<std::unique_ptr<Probe>> probe = MakeProbe(named, context_);
    if (!probe.ok()) return probe.status();
    return (*probe)->Run(timeout);
  }
  void ExpectFails(const release::v1::Probe& config, const std::string& text) {
    EXPECT_THAT(std::string(Run(config).status().message()), HasSubstr(text));
  }
  std::string WriteFile(const std::string& content) {
    const std::string path = testing::TempDir() + "probe_test_" + std::to_string(getpid());
    std::ofstream(path) << content;
    return path;
  }

  ProbeContext context_;
};

TEST_F(ProbeTest, ExecPassesOnExitCodeZero) {
  release::v1::Probe probe;
  probe.mutable_exec()->add_command("true");
  EXPECT_TRUE(Run(probe).ok());
  probe.mutable_exec()->set_command(0, "false");
  ExpectFails(probe, "exit code 1");
  probe.mutable_exec()->set_command(0, "/no/such/program");
  EXPECT_EQ(Run(probe).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ProbeTest, ExecComparesTheOnlyNumber) {
  release::v1::Probe probe;
  for (const char* word : {"echo", "loss: 2.5 %"}) probe.mutable_exec()->add_command(word);
  probe.mutable_exec()->mutable_threshold()->set_max(3);
  EXPECT_EQ(*Run(probe), "2.5");
  probe.mutable_exec()->mutable_threshold()->set_max(2);
  ExpectFails(probe, "2.5 is above the limit of 2");
  probe.mutable_exec()->mutable_threshold()->clear_max();
  probe.mutable_exec()->mutable_threshold()->set_min(2.6);
  ExpectFails(probe, "2.5 is below the limit of 2.6");
  probe.mutable_exec()->set_command(1, "-40.5 C");
  ExpectFails(probe, "-40.5 is below");
  probe.mutable_exec()->set_command(1, "nothing");
  ExpectFails(probe, "printed no number");
}

// argo-rollouts#459 and #1905: a gate without data is no pass.
TEST_F(ProbeTest, ExecWithoutOneNumberFails) {
  release::v1::Probe probe;
  for (const char* word : {"printf", ""}) probe.mutable_exec()->add_command(word);
  probe.mutable_exec()->mutable_threshold()->set_max(5000);
  for (const char* text : {"p99 nan ms", "error rate (5m) NaN", "error rate (5m) 7", "latency -nan", "latency NaNms",
                           "rate=nan%%", "load inf", "value null", "none", "undefined", "1e400", "12:30:05 latency 140",
                           "140\n150", "140 of 200", "", "p99", "1.2.3"}) {
    probe.mutable_exec()->set_command(1, text);
    EXPECT_EQ(Run(probe).status().code(), absl::StatusCode::kFailedPrecondition) << text << ": " << Run(probe).status();
  }
  const std::pair<const char*, const char*> good[] = {
      {"resnet50 140 ms", "140"}, {"p99: 140ms", "140"},         {"2026-11-30 latency 140", "140"},
      {"rate=0.5%%", "0.5"},      {"took 3 nanoseconds\n", "3"}, {"reason 2 of 3\n7", "7"},
      {"(-1e3)", "-1000"},
  };
  for (const auto& [text, number] : good) {
    probe.mutable_exec()->set_command(1, text);
    const auto result = Run(probe);
    ASSERT_TRUE(result.ok()) << text << ": " << result.status();
    EXPECT_THAT(*result, testing::StartsWith(number)) << text;
  }
}

TEST_F(ProbeTest, AMeasurementWithoutANumberOrTwiceFails) {
  release::v1::Probe probe;
  for (const char* word : {"printf", ""}) probe.mutable_exec()->add_command(word);
  probe.mutable_exec()->mutable_threshold()->set_max(5000);
  probe.mutable_exec()->set_measurement("p99");
  for (const char* text : {"measure p99 nan ms", "measure p99 nan\nmeasure p99 5", "measure p99 5\nmeasure p99 nan",
                           "measure p99", "measure p99 5\nmeasure p99 6", "p99 5", "measure p50 5"}) {
    probe.mutable_exec()->set_command(1, text);
    EXPECT_EQ(Run(probe).status().code(), absl::StatusCode::kFailedPrecondition) << text << ": " << Run(probe).status();
  }
  probe.mutable_exec()->set_command(1, "measure p50 nan\nmeasure p99 5 ms\n99");
  EXPECT_TRUE(Run(probe).ok());
}

TEST_F(ProbeTest, ExecEndsAtItsTimeout) {
  release::v1::Probe probe;
  for (const char* word : {"sleep", "60"}) probe.mutable_exec()->add_command(word);
  EXPECT_EQ(Run(probe, absl::Milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
}

TEST_F(ProbeTest, HttpComparesStatusTextAndLatency) {
  httplib::Server server;
  server.Get("/health", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("state: ready", "text/plain");
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::thread thread([&] { server.listen_after_bind(); });
  const std::string url = absl::StrCat("http://127.0.0.1:", port);

  release::v1::Probe probe;
  probe.mutable_http()->set_url(url + "/health");
  EXPECT_TRUE(Run(probe).ok());
  probe.mutable_http()->set_expected_text("ready");
  EXPECT_TRUE(Run(probe).ok());
  probe.mutable_http()->set_expected_text("broken");
  ExpectFails(probe, "does not contain \"broken\"");
  probe.mutable_http()->clear_expected_text();
  probe.mutable_http()->mutable_latency_ms()->set_min(1e9);
  ExpectFails(probe, "is below the limit");
  probe.mutable_http()->clear_latency_ms();
  probe.mutable_http()->set_url(url + "/other");
  ExpectFails(probe, "status 404, expected 200");
  probe.mutable_http()->set_expected_status(404);
  EXPECT_TRUE(Run(probe).ok());

  release::v1::Probe tcp;
  tcp.mutable_tcp()->set_host("127.0.0.1");
  tcp.mutable_tcp()->set_port(static_cast<uint32_t>(port));
  EXPECT_TRUE(Run(tcp).ok());
  server.stop();
  thread.join();
  EXPECT_EQ(Run(tcp).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Run(probe).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(ProbeTest, WatchdogPassesOnWhatCmSays) {
  release::v1::Probe probe;
  probe.mutable_watchdog();
  ExpectFails(probe, "no watchdog configured");
  context_.watchdog = [] { return absl::OkStatus(); };
  EXPECT_TRUE(Run(probe).ok());
  context_.watchdog = [] { return absl::FailedPreconditionError("not fed for 40s"); };
  ExpectFails(probe, "not fed for 40s");
}

TEST_F(ProbeTest, FileAgeIsComparedByTheClock) {
  FakeClock clock(absl::Now());
  context_.clock = &clock;
  release::v1::Probe probe;
  probe.mutable_file_age()->set_path(WriteFile("x"));
  probe.mutable_file_age()->mutable_max_age()->set_seconds(100);
  EXPECT_TRUE(Run(probe).ok());
  clock.Advance(absl::Seconds(200));
  ExpectFails(probe, "old, at most 1m40s allowed");
  probe.mutable_file_age()->set_path("/no/such/file");
  EXPECT_EQ(Run(probe).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(ProbeTest, FreeDiskIsComparedInBytesAndPercent) {
  release::v1::Probe probe;
  probe.mutable_free_disk()->set_path("/");
  probe.mutable_free_disk()->set_min_bytes(1);
  EXPECT_TRUE(Run(probe).ok());
  probe.mutable_free_disk()->set_min_percent(100.1);
  ExpectFails(probe, "100.1 % needed");
  probe.mutable_free_disk()->set_min_bytes(uint64_t{1} << 62);
  ExpectFails(probe, "TiB needed");
}

TEST_F(ProbeTest, MemoryIsTheAvailableOne) {
  context_.meminfo_file = WriteFile("MemTotal:  200 kB\nMemFree:  10 kB\nMemAvailable:     100 kB\n");
  release::v1::Probe probe;
  probe.mutable_memory()->set_min_available_bytes(100 << 10);
  EXPECT_EQ(*Run(probe), "100 KiB available");
  probe.mutable_memory()->set_min_available_bytes((100 << 10) + 1);
  ExpectFails(probe, "100 KiB available, 100 KiB needed");
  context_.meminfo_file = WriteFile("nothing");
  ExpectFails(probe, "no MemAvailable");
}

TEST_F(ProbeTest, TemperatureIsInMillidegrees) {
  release::v1::Probe probe;
  probe.mutable_temperature()->set_path(WriteFile("71500\n"));
  probe.mutable_temperature()->set_max_celsius(75);
  EXPECT_EQ(*Run(probe), "71.5 C");
  probe.mutable_temperature()->set_max_celsius(70);
  ExpectFails(probe, "71.5 C is above the limit of 70 C");
}

TEST_F(ProbeTest, VersionComparesEveryComponentOfTheType) {
  std::vector<ProbeComponent> components = {{"cam1", "camera", "2", "2"}, {"cam2", "camera", "1", "2"}};
  context_.components = [&] { return components; };
  release::v1::Probe probe;
  probe.mutable_version()->set_component_type("camera");
  ExpectFails(probe, "\"cam2\" reports 1, expected 2");
  components[1].version = "2";
  EXPECT_TRUE(Run(probe).ok());
  probe.mutable_version()->set_version("3");
  ExpectFails(probe, "reports 2, expected 3");
  probe.mutable_version()->set_component_type("radar");
  ExpectFails(probe, "no component of type radar");
}

TEST_F(ProbeTest, WhatCannotWorkIsRefusedWithTheField) {
  std::vector<std::pair<std::string, release::v1::Probe>> bad(9);
  bad[0].first = "one of exec";
  bad[1] = {"exec.command", {}};
  bad[1].second.mutable_exec();
  bad[2] = {"http.url", {}};
  bad[2].second.mutable_http()->set_url("file:///etc/passwd");
  bad[3] = {"tcp.port", {}};
  bad[3].second.mutable_tcp()->set_host("h");
  bad[4] = {"file_age.max_age", {}};
  bad[4].second.mutable_file_age()->set_path("/x");
  bad[5] = {"free_disk.min_bytes", {}};
  bad[5].second.mutable_free_disk()->set_path("/x");
  bad[6] = {"memory.min_available_bytes", {}};
  bad[6].second.mutable_memory();
  bad[7] = {"timeout is 0", {}};
  bad[7].second.mutable_memory()->set_min_available_bytes(1);
  bad[7].second.mutable_timeout();
  bad[8] = {"version.component_type", {}};
  bad[8].second.mutable_version();
  for (const auto& [text, probe] : bad) {
    const absl::Status status = Run(probe).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr(text));
  }
}

TEST_F(ProbeTest, ExecTakesParametersAndNamedMeasurements) {
  release::v1::Probe probe;
  for (const char* word : {"sh", "-c", "echo measure load $TANDEM_LOAD; echo done"})
    probe.mutable_exec()->add_command(word);
  (*probe.mutable_exec()->mutable_parameters())["load"] = "0.5";
  probe.mutable_exec()->set_measurement("load");
  probe.mutable_exec()->mutable_threshold()->set_max(1);
  EXPECT_EQ(*Run(probe), "load 0.5");
  (*probe.mutable_exec()->mutable_parameters())["load"] = "2";
  ExpectFails(probe, "load: 2 is above the limit of 1");
  probe.mutable_exec()->clear_threshold();
  probe.mutable_exec()->clear_measurement();
  probe.mutable_exec()->set_expected_text("done");
  EXPECT_TRUE(Run(probe).ok());
  probe.mutable_exec()->set_expected_text("finished");
  ExpectFails(probe, "it did not print \"finished\", but: done");
  (*probe.mutable_exec()->mutable_parameters())["no good"] = "";
  ExpectFails(probe, "parameter \"no good\"");
}

TEST_F(ProbeTest, DeviceMustBeThereAndGiveBytes) {
  release::v1::Probe probe;
  probe.mutable_device()->set_path("/dev/zero");
  EXPECT_EQ(*Run(probe), "is there");
  probe.mutable_device()->set_min_bytes(100000);
  EXPECT_TRUE(Run(probe).ok());
  probe.mutable_device()->set_path("/dev/null");
  ExpectFails(probe, "/dev/null ended after 0 of 100000 bytes");
  probe.mutable_device()->set_path("/dev/no-such-camera");
  ExpectFails(probe, "/dev/no-such-camera");
  probe.mutable_device()->set_path("/dev");
  ExpectFails(probe, "is a folder");
}

TEST_F(ProbeTest, ADeviceThatGivesNothingFailsInTime) {
  const std::string fifo = WriteFile("") + ".fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  // With a writer that says nothing.
  const int writer = open(fifo.c_str(), O_RDWR);
  release::v1::Probe probe;
  probe.mutable_device()->set_path(fifo);
  probe.mutable_device()->set_min_bytes(1);
  EXPECT_EQ(Run(probe, absl::Milliseconds(50)).status().code(), absl::StatusCode::kDeadlineExceeded);
  ASSERT_EQ(write(writer, "x", 1), 1);
  EXPECT_EQ(*Run(probe), "1 bytes read");
  close(writer);
  unlink(fifo.c_str());
}

TEST_F(ProbeTest, ServiceAsksSystemd) {
  // Stands for systemctl: says what its last argument says.
  const std::string program = WriteFile(
                                  "#!/bin/sh\nfor last; do :; done\ncase $last in good*) echo active;; *) echo failed; "
                                  "exit 3;; esac\n") +
                              ".systemctl";
  std::ofstream(program) << std::ifstream(program.substr(0, program.rfind('.'))).rdbuf();
  chmod(program.c_str(), 0755);
  context_.systemctl = program;
  release::v1::Probe probe;
  probe.mutable_service()->set_unit("good.service");
  EXPECT_EQ(*Run(probe), "active");
  probe.mutable_service()->set_unit("bad.service");
  ExpectFails(probe, "bad.service is failed");
  probe.mutable_service()->set_unit("--version");
  ExpectFails(probe, "begins with -");
  unlink(program.c_str());
}

TEST_F(ProbeTest, ReplayHoldsTheAnswerAgainstTheGoldenOne) {
  const std::string sample = WriteFile("3 4\n");
  release::v1::Probe probe;
  release::v1::ReplayProbe& replay = *probe.mutable_replay();
  for (const char* word : {"sh", "-c", "read a b; echo sum $((a + b)).001"}) replay.add_command(word);
  replay.set_sample(sample);
  replay.set_golden_text("sum 7.001\n");
  EXPECT_TRUE(Run(probe).ok());
  replay.set_golden_text("sum 7\n");
  ExpectFails(probe, "differs from the golden one");
  replay.set_tolerance(0.01);
  EXPECT_TRUE(Run(probe).ok());
  replay.mutable_latency_ms()->set_max(0.000001);
  ExpectFails(probe, "above the limit");
  replay.clear_latency_ms();
  replay.set_golden_file("/no/such/golden");
  replay.clear_golden_text();
  ExpectFails(probe, "golden file");
  replay.set_golden_file(sample);
  replay.set_command(2, "cat; exit 1");
  ExpectFails(probe, "exit code 1: 3 4");
  replay.set_command(2, "cat");
  EXPECT_TRUE(Run(probe).ok());
  replay.set_golden_text("both");
  ExpectFails(probe, "either golden_file or golden_text");
}

}  // namespace
}  // namespace tandem::cm
