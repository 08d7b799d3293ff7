// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>

namespace bantam {

/// The work was stopped by a signal after it had been saved, or its unfinished files removed. `what()` says how to go
/// on. CommandLine::run exits with 128 + signal.
struct Stopped : std::runtime_error {
    Stopped(int by_signal, const std::string& message) : std::runtime_error{message}, signal{by_signal} {}
    int signal;
};

/// While one lives, the first SIGINT, SIGTERM or SIGHUP is recorded and nothing more, so that the work can end in
/// order; a second one ends the program at once with status 128 + signal, as the first one does at other times.
class StopSignal {
public:
    StopSignal();
    ~StopSignal();
    StopSignal(const StopSignal&) = delete;
    StopSignal& operator=(const StopSignal&) = delete;

    bool received() const { return number() != 0; }
    /// The signal that was recorded, 0 without one.
    int number() const;
    /// Records a signal that another rank received.
    void record(int number) const;
    /// Throws Stopped: "stopped by SIGTERM <message>".
    [[noreturn]] void stop(const std::string& message) const;

    /// Handles the signals in a whole program. Signals that the program was started to ignore, as by nohup, stay
    /// ignored.
    static void install();
};

}  // namespace bantam
