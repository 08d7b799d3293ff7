// SPDX-License-Identifier: MIT
#include "command_line.hpp"

#include <bantam/base/error.hpp>
#include <bantam/base/number_text.hpp>
#include <bantam/base/printable.hpp>
#include <bantam/io/parse_number.hpp>
#include <bantam/train/options.hpp>

#include "ranks.hpp"
#include "stop_signal.hpp"

#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <exception>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <thread>
#include <type_traits>

#if !defined(_WIN32)
#include <fcntl.h>
#endif

namespace bantam {

namespace {

/// A stream that was closed before the program began would be the first file that it opens. /dev/null takes its place,
/// opened for reading, so that writing to it fails.
void replace_closed_streams() {
#if !defined(_WIN32)
    for (int stream = 0; stream <= 2; ++stream)
        if (fcntl(stream, F_GETFD) == -1 && open("/dev/null", O_RDONLY) < 0) return;
#endif
}

bool silent = false;

void write_message(const std::string& text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
}

/// Waits until the first rank has printed its message, if it has one: the end of this rank ends it, too.
void wait_for_first_rank() { std::this_thread::sleep_for(std::chrono::milliseconds{500}); }

/// Writes a program's last message and returns its status; where it is one of several ranks, ends them all. Ranks that
/// fail for the same reason leave the message to the first one.
int end_with(const std::string& message, int status) {
    if (const Rank rank = launched_rank(); rank.count > 1) {
        if (rank.index > 0) wait_for_first_rank();
        write_message(fmt::format("rank {} of {}: {}\n", rank.index, rank.count, message));
        end_all_ranks(status);
    } else {
        write_message(message + '\n');
    }
    return status;
}

}  // namespace

void print_message(const std::string& text) {
    if (!silent) write_message(text);
}

void silence_messages() { silent = true; }

int processor_count() {
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / launched_rank(true).count);
}

std::string command_text(int argc, char** argv) {
    constexpr std::string_view plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789%+,-./:=@_";
    std::string text;
    for (const std::string_view word : std::span{argv, static_cast<std::size_t>(argc)}) {
        if (!text.empty()) text += ' ';
        if (!word.empty() && word.find_first_not_of(plain) == std::string_view::npos) {
            text += word;
            continue;
        }
        text += '\'';
        for (const char letter : word) letter == '\'' ? text += "'\\''" : text += letter;
        text += '\'';
    }
    return text;
}

struct CommandLine::Parser {
    CLI::App app;
    std::string optimizer;
    std::string flip = "random";
    TrainingOptions* training = nullptr;
    DeviceOptions* device = nullptr;
    CLI::Option* warmup = nullptr;

    template <class Value>
    CLI::Option* add(const std::string& name, Value& value, const std::string& help) {
        constexpr bool optional = std::is_same_v<Value, std::optional<double>>;
        if constexpr (optional || std::is_same_v<Value, double> || std::is_same_v<Value, std::uint64_t>) {
            constexpr bool fraction = optional || std::is_same_v<Value, double>;
            // CLI11 reads fractions as the process's locale writes them, and takes -1 and numbers beyond 64 bits for
            // the largest whole number.
            const auto read = [&value](const CLI::results_t& texts) {
                const auto number = parse_number<std::conditional_t<fraction, double, Value>>(texts.back());
                if (number) value = *number;
                return number.has_value();
            };
            CLI::Option* const option = app.add_option(name, read, help)->type_name(fraction ? "NUMBER" : "UINT");
            if constexpr (optional)
                return option;
            else
                return option->default_str(fraction ? general_text(static_cast<double>(value)) : std::to_string(value));
        } else {
            return app.add_option(name, value, help)->capture_default_str();
        }
    }
};

CommandLine::CommandLine(const std::string& description)
    : parser_{new Parser{.app = CLI::App{description}, .optimizer = {}}} {}
CommandLine::~CommandLine() = default;

CommandLine::Option& CommandLine::Option::required() {
    static_cast<CLI::Option*>(option_)->required()->default_str("");
    return *this;
}

CommandLine::Option& CommandLine::Option::between(std::int64_t smallest, std::int64_t largest) {
    static_cast<CLI::Option*>(option_)->check(CLI::Range(smallest, largest));
    return *this;
}

CommandLine::Option& CommandLine::Option::one_of(const std::vector<std::string>& choices) {
    static_cast<CLI::Option*>(option_)->check(CLI::IsMember(choices));
    return *this;
}

CommandLine::Option CommandLine::option(const std::string& name, std::string& value, const std::string& help) {
    return Option{parser_->add(name, value, help)};
}
CommandLine::Option CommandLine::option(const std::string& name, std::filesystem::path& value,
                                        const std::string& help) {
    return Option{parser_->add(name, value, help)};
}
CommandLine::Option CommandLine::option(const std::string& name, std::vector<std::filesystem::path>& value,
                                        const std::string& help) {
    return Option{parser_->app.add_option(name, value, help)};
}
CommandLine::Option CommandLine::option(const std::string& name, int& value, const std::string& help) {
    return Option{parser_->add(name, value, help)};
}
CommandLine::Option CommandLine::option(const std::string& name, std::int64_t& value, const std::string& help) {
    return Option{parser_->add(name, value, help)};
}
CommandLine::Option CommandLine::option(const std::string& name, std::uint64_t& value, const std::string& help) {
    return Option{parser_->add(name, value, help)};
}
CommandLine::Option CommandLine::option(const std::string& name, double& value, const std::string& help) {
    return Option{parser_->add(name, value, help)};
}
CommandLine::Option CommandLine::option(const std::string& name, std::optional<double>& value,
                                        const std::string& help) {
    return Option{parser_->add(name, value, help)};
}
void CommandLine::flag(const std::string& name, bool& value, const std::string& help) {
    parser_->app.add_flag(name, value, help);
}

void CommandLine::training_options(TrainingOptions& training) {
    parser_->training = &training;
    parser_->optimizer = name(training.optimizer);
    option("--epochs", training.epochs, "Passes over the training pictures");
    option("--batch-size", training.batch_size, "Pictures in one step");
    option("--optimizer", parser_->optimizer, "sgd, adamw or muon");
    option("--learning-rate", training.learning_rate, "Peak learning rate");
    option("--momentum", training.momentum, "Momentum of sgd, and of muon's matrices");
    option("--weight-decay", training.weight_decay, "Weight decay; never on biases and norms");
    parser_->warmup = parser_->add("--warmup-epochs", training.warmup_epochs,
                                   "Epochs of linear warm-up; by default at most half of all");
    option("--final-learning-rate", training.final_learning_rate_fraction,
           "Learning rate at the end, as a fraction of the peak; 1 for a constant one");
    option("--lookahead-steps", training.lookahead_steps,
           "Steps of the optimizer between two of Lookahead; 0 for none");
    option("--lookahead-alpha", training.lookahead_alpha,
           "How far Lookahead's slow weights go towards those of the optimizer");
    option("--label-smoothing", training.label_smoothing, "Label smoothing");
    option("--clip-norm", training.clip_norm, "Largest gradient norm; 0 for none");
    option("--averaging-decay", training.averaging_decay, "Decay of the weights' moving average; 0 for none");
    option("--flip", parser_->flip,
           "How pictures without teacher logits are mirrored: at random, or alternating from epoch to epoch")
        .one_of({"random", "alternating"});
    flag("--near-identity-depthwise", training.near_identity_depthwise,
         "Start depthwise convolutions near the identity");
    flag("--zero-residual-norms", training.zero_residual_norms,
         "Start residuals that end in a norm as their shortcuts");
    option("--seed", training.seed, "Seed of everything random");
    option("--threads", training.threads, "Threads; the result does not depend on it");
}

void CommandLine::device_options(DeviceOptions& options, bool with_cuda) {
    parser_->device = &options;
    auto* const device = parser_->add("--device", options.device, "cpu or cuda")->check(CLI::IsMember({"cpu", "cuda"}));
    if (!with_cuda)
        device->check([](const std::string& chosen) {
            return chosen == "cpu"
                       ? std::string{}
                       : "this build has no CUDA; install the CUDA Toolkit and build again, or use --device cpu";
        });
    parser_
        ->add("--precision", options.precision,
              "Precision on cuda: float32, tf32 (of products) or bf16 (of activations; weights stay float32)")
        ->check(CLI::IsMember({"float32", "tf32", "bf16"}));
}

int CommandLine::run(int argc, char** argv, const std::function<void()>& body) {
    // Names from files may hold anything; a terminal gets it as text.
    constexpr std::size_t longest_message = 4000;
    replace_closed_streams();
    StopSignal::install();
#if !defined(_WIN32)
    // A closed pipe and a file over its limit are then failures of a write, which its caller reports or ignores.
    std::signal(SIGPIPE, SIG_IGN);
    std::signal(SIGXFSZ, SIG_IGN);
#endif
    const char* const lost_results = "error: standard output could not be written; the files are complete";
    try {
        for (const std::string_view argument : std::span{argv, static_cast<std::size_t>(argc)})
            if (!is_utf8(argument))
                throw Error{"the argument '" + printable(argument) + "' is not valid UTF-8; rename the file or folder"};
        parser_->app.parse(argc, argv);
        if (TrainingOptions* training = parser_->training) {
            training->optimizer = optimizer_kind(parser_->optimizer);
            training->alternating_flip = parser_->flip == "alternating";
            if (parser_->warmup->empty())
                training->warmup_epochs = std::min(training->warmup_epochs, static_cast<double>(training->epochs) / 2);
        }
        if (const DeviceOptions* chosen = parser_->device;
            chosen && !chosen->on_gpu() && chosen->precision != "float32")
            throw Error{"--precision " + chosen->precision + " is for --device cuda; leave it out"};
        body();
        if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) return end_with(lost_results, 1);
        leave_ranks();
        return 0;
    } catch (const CLI::ParseError& problem) {
        const bool asked_for_help = problem.get_exit_code() == 0;
        // All ranks were started with the same arguments.
        if (launched_rank().index > 0) {
            wait_for_first_rank();
            return asked_for_help ? 0 : 2;
        }
        if (asked_for_help) return parser_->app.exit(problem);
        return end_with(fmt::format("error: {}; see --help", printable(problem.what(), longest_message)), 2);
    } catch (const Stopped& stopped) {
        return end_with(stopped.what(), 128 + stopped.signal);
    } catch (const std::bad_alloc&) {
        return end_with("error: out of memory; use a smaller --stored-size or --batch-size", 1);
    } catch (const std::exception& problem) {
        // fmt::print throws where the stream does not take the text.
        return end_with(std::ferror(stdout) != 0 ? lost_results
                                                 : fmt::format("error: {}", printable(problem.what(), longest_message)),
                        1);
    }
}

}  // namespace bantam
