// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE progress
#include <boost/test/unit_test.hpp>

#include "bantam/base/index.hpp"
#include "bantam/train/progress.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <string>

using bantam::Progress;

namespace {

// A stream whose text can be read back, and a clock that the test sets.
struct Screen {
    std::FILE* file = std::tmpfile();
    double now = 100.0;

    Screen() { BOOST_REQUIRE(file != nullptr); }
    Screen(const Screen&) = delete;
    Screen& operator=(const Screen&) = delete;
    ~Screen() { std::fclose(file); }

    Progress::Clock clock() {
        return [this] { return now; };
    }

    std::string text() {
        std::rewind(file);
        std::string all;
        std::array<char, 256> part{};
        std::size_t length = 0;
        while ((length = std::fread(part.data(), 1, part.size(), file)) > 0) {
            all.append(part.data(), length);
        }
        std::fseek(file, 0, SEEK_END);
        return all;
    }
};

std::ptrdiff_t occurrences(const std::string& text, char wanted) {
    return std::count(text.begin(), text.end(), wanted);
}

}  // namespace

BOOST_AUTO_TEST_CASE(durations_read_like_a_clock) {
    BOOST_TEST(bantam::readable_duration(0.0) == "0:00");
    BOOST_TEST(bantam::readable_duration(7.4) == "0:07");
    BOOST_TEST(bantam::readable_duration(59.6) == "1:00");
    BOOST_TEST(bantam::readable_duration(754.0) == "12:34");
    BOOST_TEST(bantam::readable_duration(3754.0) == "1:02:34");
    BOOST_TEST(bantam::readable_duration(-3.0) == "0:00");
    BOOST_TEST(bantam::readable_duration(1e300) == "10000:00:00");
}

BOOST_AUTO_TEST_CASE(the_line_gives_place_rate_remaining_time_and_figures) {
    Screen screen;
    Progress progress{{.epochs = 4, .batches_per_epoch = 10}, screen.file, false, screen.clock()};
    screen.now += 2.0;
    progress.update(0, 0, 64, 2.5, std::nullopt);
    BOOST_TEST(screen.text() == "epoch 1/4  batch 1/10  loss 2.5000  32/s  ETA 1:18\n");
    screen.now += 18.0;
    progress.update(0, 9, 576, 1.25, 0.375);
    BOOST_TEST(screen.text().find("epoch 1/4  batch 10/10  loss 1.2500  accuracy 37.5 %  "
                                  "32/s  ETA 1:00\n") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_log_gets_a_line_every_ten_seconds_and_no_control_characters) {
    Screen screen;
    {
        Progress progress{{.epochs = 1, .batches_per_epoch = 1000}, screen.file, false, screen.clock()};
        for (bantam::Index batch = 0; batch < 1000; ++batch) {
            screen.now += 0.05;
            progress.update(0, batch, 1, 1.0, 0.5);
        }
    }
    const std::string text = screen.text();
    BOOST_TEST(occurrences(text, '\n') >= 4);
    BOOST_TEST(occurrences(text, '\n') <= 6);
    BOOST_TEST(occurrences(text, '\r') == 0);
    BOOST_TEST(occurrences(text, '\x1b') == 0);
}

BOOST_AUTO_TEST_CASE(a_terminal_line_is_rewritten_in_place_and_cleared_at_the_end) {
    Screen screen;
    {
        Progress progress{{.epochs = 1, .batches_per_epoch = 100}, screen.file, true, screen.clock()};
        for (bantam::Index batch = 0; batch < 100; ++batch) {
            screen.now += 0.01;
            progress.update(0, batch, 1, 1.0, 0.5);
        }
        const std::string text = screen.text();
        BOOST_TEST(occurrences(text, '\n') == 0);
        BOOST_TEST(occurrences(text, '\r') >= 9);
        BOOST_TEST(occurrences(text, '\r') <= 11);
    }
    const std::string text = screen.text();
    BOOST_TEST(text.substr(text.size() - 4) == "\r\x1b[K");
}

BOOST_AUTO_TEST_CASE(the_line_of_a_long_run_leaves_out_the_rate_before_the_remaining_time) {
    Screen screen;
    Progress progress{{.epochs = 1000, .batches_per_epoch = 10'000}, screen.file, false, screen.clock()};
    screen.now += 100.0;
    progress.update(999, 0, 12'345'678, 1.0, 1.0);
    BOOST_TEST(screen.text() == "epoch 1000/1000  batch 1/10000  loss 1.0000  accuracy 100.0 %  ETA 0:00\n");
}

BOOST_AUTO_TEST_CASE(a_terminal_line_never_wraps) {
    Screen screen;
    Progress progress{{.epochs = 1'000'000, .batches_per_epoch = 1'000'000'000}, screen.file, true, screen.clock()};
    screen.now += 1.0;
    progress.update(999'998, 999'999'998, 64, 123456.0, 0.5);
    // Carriage return, at most 79 columns, and the sequence that clears the rest of the line.
    BOOST_TEST(screen.text().size() <= 1 + 79 + 3);
    BOOST_TEST(screen.text().find("  ETA ") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_summary_replaces_the_running_line) {
    Screen screen;
    Progress progress{{.epochs = 2, .batches_per_epoch = 2}, screen.file, true, screen.clock()};
    progress.update(0, 0, 1, 1.0, 0.5);
    progress.print("epoch 1 done");
    progress.print("saved");
    const std::string text = screen.text();
    BOOST_TEST(text.substr(text.rfind("\r\x1b[K")) == "\r\x1b[Kepoch 1 done\nsaved\n");
}

BOOST_AUTO_TEST_CASE(a_resumed_run_estimates_the_remaining_time_from_its_own_speed) {
    Screen screen;
    Progress progress{
        {.epochs = 10, .batches_per_epoch = 10, .finished_batches = 80}, screen.file, false, screen.clock()};
    screen.now += 10.0;
    progress.update(8, 9, 640, 1.0, 0.5);
    BOOST_TEST(screen.text() == "epoch 9/10  batch 10/10  loss 1.0000  accuracy 50.0 %  64/s  ETA 0:10\n");
}

BOOST_AUTO_TEST_CASE(validation_time_counts_for_the_remaining_time_but_not_for_the_rate) {
    Screen screen;
    Progress progress{{.epochs = 2, .batches_per_epoch = 2}, screen.file, false, screen.clock()};
    screen.now += 10.0;
    progress.update(0, 0, 100, 1.0, std::nullopt);
    progress.pause();
    screen.now += 10.0;
    progress.resume();
    screen.now += 10.0;
    progress.update(0, 1, 100, 1.0, std::nullopt);
    BOOST_TEST(screen.text().find("batch 2/2  loss 1.0000  10/s  ETA 0:30") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_file_is_not_a_terminal) {
    Screen screen;
    BOOST_TEST(!bantam::is_terminal(screen.file));
}
