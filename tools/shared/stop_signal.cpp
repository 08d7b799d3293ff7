// SPDX-License-Identifier: MIT
#include "stop_signal.hpp"

#include <atomic>
#include <csignal>
#include <cstdlib>

namespace bantam {
namespace {

struct Signal {
    int number;
    const char* name;
};

constexpr Signal stop_signals[] = {
    {SIGINT, "SIGINT"},
    {SIGTERM, "SIGTERM"},
#if defined(SIGHUP)
    {SIGHUP, "SIGHUP"},
#endif
};

std::atomic<bool> deferred{false};
std::atomic<int> recorded{0};
static_assert(std::atomic<int>::is_always_lock_free, "a signal handler may use only lock-free atomics");

extern "C" void handle(int number) {
    int none = 0;
    if (!deferred || !recorded.compare_exchange_strong(none, number)) std::_Exit(128 + number);
}

}  // namespace

StopSignal::StopSignal() { deferred = true; }
StopSignal::~StopSignal() { deferred = false; }

int StopSignal::number() const { return recorded; }

void StopSignal::record(int number) const {
    int none = 0;
    recorded.compare_exchange_strong(none, number);
}

void StopSignal::stop(const std::string& message) const {
    std::string text = "stopped by ";
    for (const Signal& signal : stop_signals)
        if (signal.number == recorded) text += signal.name;
    throw Stopped{recorded, text + ' ' + message};
}

void StopSignal::install() {
    for (const Signal& signal : stop_signals)
        if (std::signal(signal.number, handle) == SIG_IGN) std::signal(signal.number, SIG_IGN);
}

}  // namespace bantam
