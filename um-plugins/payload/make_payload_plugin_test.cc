// The plugin over real files, a real archive and a real reload command.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "common/crypto/sha256.h"
#include "common/process/run_command.h"
#include "um-plugins/payload/payload_plugin.h"
#include "um/fake_operation.h"

namespace tandem::plugins {
namespace {

using ::testing::HasSubstr;

class MakePayloadPluginTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/make_payload_XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    config_.set_node_id("apps");
    config_.set_state_dir(At("state"));
    config::v1::PayloadComponent& component = *config_.mutable_payload()->add_components();
    component.set_component_id("app");
    component.set_component_type("app-bundle");
    component.set_folder(At("app"));
    component.set_unpack(true);
    for (const std::string& word :
         {std::string("sh"), std::string("-c"),
          absl::StrCat("echo $TANDEM_VERSION $(cat $TANDEM_CURRENT/text) >> ", At("reloads"))}) {
      component.add_reload_command(word);
    }
  }
  void TearDown() override { EXPECT_TRUE(fs_.RemoveTree(folder_).ok()); }

  std::string At(const std::string& name) const { return JoinPath(folder_, name); }

  um::Artifact Archive(const std::string& version) {
    const std::string tar = At(version + ".tar.gz");
    EXPECT_TRUE(RunCommandOk({.argv = {"sh", "-ec",
                                       absl::StrCat("cd ", folder_, "; echo text-", version, " > text; tar czf ", tar,
                                                    " text")}})
                    .ok());
    const std::string bytes = fs_.ReadFile(tar).value();
    return {.component_id = "app",
            .component_type = "app-bundle",
            .version = version,
            .urls = {"file://" + tar},
            .sha256 = Sha256(bytes),
            .size = bytes.size()};
  }

  FileSystem& fs_ = FileSystem::Real();
  std::string folder_;
  config::v1::UmConfig config_;
  um::FakeOperation operation_;
};

TEST_F(MakePayloadPluginTest, InstallsAndRevertsARealArchive) {
  std::unique_ptr<um::Plugin> plugin = MakePayloadPlugin(config_).value();
  for (const std::string version : {"1.0", "2.0"}) {
    const absl::Status prepared = plugin->Prepare({Archive(version)}, operation_);
    ASSERT_TRUE(prepared.ok()) << prepared;
    const auto started = plugin->Start(operation_);
    ASSERT_TRUE(started.ok()) << started.status();
    if (version == "1.0") {
      ASSERT_TRUE(plugin->Apply(operation_).ok());
    }
  }
  EXPECT_EQ(plugin->Inventory().value()[0].version, "2.0");
  EXPECT_EQ(fs_.ReadFile(At("app/current/text")).value(), "text-2.0\n");
  ASSERT_EQ(plugin->Revert(operation_).value(), um::RevertResult::kReverted);
  EXPECT_EQ(plugin->Inventory().value()[0].version, "1.0");
  EXPECT_EQ(fs_.ReadFile(At("reloads")).value(), "1.0 text-1.0\n2.0 text-2.0\n1.0 text-1.0\n");
}

// Whatever the umask of the service: a program that is not root reads what was installed (p2pstream#226).
TEST_F(MakePayloadPluginTest, OthersReadWhatIsInstalled) {
  const mode_t before = umask(0077);
  std::unique_ptr<um::Plugin> plugin = MakePayloadPlugin(config_).value();
  um::Artifact archive = Archive("1.0");
  ASSERT_TRUE(RunCommandOk({.argv = {"sh", "-ec",
                                     absl::StrCat("cd ", folder_,
                                                  "; umask 022; mkdir -p deep/er; cp text deep/er/; "
                                                  "mkdir secret; chmod 700 secret; chmod 644 text deep/er/text; "
                                                  "tar czf 1.0.tar.gz text deep/er/text secret")}})
                  .ok());
  const std::string bytes = fs_.ReadFile(At("1.0.tar.gz")).value();
  archive.sha256 = Sha256(bytes);
  archive.size = bytes.size();
  EXPECT_TRUE(plugin->Prepare({archive}, operation_).ok());
  EXPECT_TRUE(plugin->Start(operation_).ok());
  umask(before);
  const auto mode = [&](const std::string& name) {
    struct stat info {};
    EXPECT_EQ(stat(At(name).c_str(), &info), 0) << name;
    return info.st_mode & 07777;
  };
  for (const char* name : {"app", "app/versions", "app/current", "app/current/deep", "app/current/deep/er"}) {
    EXPECT_EQ(mode(name), 0755u) << name;
  }
  EXPECT_EQ(mode("app/current/text"), 0644u);
  EXPECT_EQ(mode("app/current/deep/er/text"), 0644u);
  EXPECT_EQ(mode("app/current/secret"), 0700u) << "as the archive says";
  EXPECT_EQ(mode("state"), 0700u) << "records are nobody else's";
}

TEST_F(MakePayloadPluginTest, RefusesAWrongConfiguration) {
  *config_.mutable_payload()->add_components() = config_.payload().components(0);
  const absl::Status twice = MakePayloadPlugin(config_).status();
  EXPECT_THAT(std::string(twice.message()), HasSubstr("there twice"));
  config_.mutable_payload()->mutable_components(1)->clear_folder();
  EXPECT_TRUE(absl::IsInvalidArgument(MakePayloadPlugin(config_).status()));
}

}  // namespace
}  // namespace tandem::plugins
