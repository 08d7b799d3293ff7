// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace bantam {

struct TrainingOptions;

/// The device of a program and the precision of its numbers.
struct DeviceOptions {
    std::string device = "cpu";         ///< or cuda
    std::string precision = "float32";  ///< on cuda also tf32 or bf16

    bool on_gpu() const { return device == "cuda"; }
};

/// Prints a message, warning or progress on stderr. A closed or full one shows nothing and stops nothing.
void print_message(const std::string& text);

/// Shows no message from now on but that of a failure, as in all ranks but the first.
void silence_messages();

/// The number of processors, at least one; divided by the number of ranks on this machine.
int processor_count();

/// The command that started a program, quoted for a POSIX shell where needed.
std::string command_text(int argc, char** argv);

/// A program's options. Only command_line.cpp includes CLI11, which takes longer to compile than most programs
/// here.
class CommandLine {
public:
    explicit CommandLine(const std::string& description);
    ~CommandLine();

    /// An option read into `value`, which holds its default; its members add conditions and can be chained.
    class Option {
    public:
        Option& required();
        Option& between(std::int64_t smallest, std::int64_t largest);
        Option& one_of(const std::vector<std::string>& choices);

    private:
        friend class CommandLine;
        explicit Option(void* option) : option_{option} {}
        void* option_;
    };

    Option option(const std::string& name, std::string& value, const std::string& help);
    Option option(const std::string& name, std::filesystem::path& value, const std::string& help);
    /// One or more paths after the name.
    Option option(const std::string& name, std::vector<std::filesystem::path>& value, const std::string& help);
    Option option(const std::string& name, int& value, const std::string& help);
    Option option(const std::string& name, std::int64_t& value, const std::string& help);
    Option option(const std::string& name, std::uint64_t& value, const std::string& help);
    Option option(const std::string& name, double& value, const std::string& help);
    Option option(const std::string& name, std::optional<double>& value, const std::string& help);
    void flag(const std::string& name, bool& value, const std::string& help);

    /// The options of every program that trains. The ranges are checked by `check(training)`.
    void training_options(TrainingOptions& training);

    /// `--device` and `--precision`; a program without CUDA allows the CPU only.
    void device_options(DeviceOptions& options, bool with_cuda);

    /// A program's main: parses, runs `body`, and turns every failure into one line on stderr and a non-zero exit;
    /// results that stdout did not take are a failure. A program stopped by a signal exits with 128 + signal. A failure
    /// of one rank ends the others.
    int run(int argc, char** argv, const std::function<void()>& body);

private:
    struct Parser;
    std::unique_ptr<Parser> parser_;
};

}  // namespace bantam
