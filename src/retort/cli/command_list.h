#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace retort {

std::function<int()> AddCacheCommand(CLI::App& app);
std::function<int()> AddDevicesCommand(CLI::App& app);
std::function<int()> AddEmbedCommand(CLI::App& app);
std::function<int()> AddBenchCommand(CLI::App& app);
std::function<int()> AddGenerateCommand(CLI::App& app);
std::function<int()> AddGrammarCommand(CLI::App& app);
std::function<int()> AddGraphCommand(CLI::App& app);
std::function<int()> AddInspectCommand(CLI::App& app);
std::function<int()> AddPullCommand(CLI::App& app);
std::function<int()> AddRunCommand(CLI::App& app);
std::function<int()> AddStepsCommand(CLI::App& app);
std::function<int()> AddValidateCommand(CLI::App& app);

}  // namespace retort
