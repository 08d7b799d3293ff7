// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE parallel_for
#include <bantam/base/parallel_for.hpp>

#include <bantam/base/error.hpp>

#include <boost/test/unit_test.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <vector>

namespace {

using bantam::Index;
using bantam::parallel_for;

/// How often a loop ran each index.
std::vector<int> visits(Index count, int threads) {
    std::vector<int> result(static_cast<std::size_t>(count));
    parallel_for(count, threads, [&](Index index, int) { ++result[static_cast<std::size_t>(index)]; });
    return result;
}

/// Processor time of all threads of this process, in seconds.
double processor_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

BOOST_AUTO_TEST_CASE(every_index_runs_once) {
    for (const int threads : {1, 2, 3, 8})
        for (const Index count : {0, 1, 2, 3, 7, 16, 1000})
            for (int repeat = 0; repeat < 20; ++repeat)
                BOOST_REQUIRE(visits(count, threads) == std::vector<int>(static_cast<std::size_t>(count), 1));
}

BOOST_AUTO_TEST_CASE(a_thread_number_is_used_by_one_body_at_a_time) {
    constexpr int threads = 4;
    // Not atomic: ThreadSanitizer reports two bodies with the same number.
    std::vector<Index> sums(threads);
    for (int repeat = 0; repeat < 200; ++repeat)
        parallel_for(50, threads, [&](Index index, int thread) { sums.at(static_cast<std::size_t>(thread)) += index; });
    BOOST_TEST(std::accumulate(sums.begin(), sums.end(), Index{0}) == 200 * 49 * 50 / 2);
}

BOOST_AUTO_TEST_CASE(as_many_threads_take_part_as_asked_for) {
    for (const int threads : {2, 4, 3}) {
        // No index continues before all have started, so each needs its own thread.
        std::atomic<int> arrived{0};
        parallel_for(threads, threads, [&](Index, int) {
            ++arrived;
            while (arrived < threads) std::this_thread::yield();
        });
        BOOST_TEST(arrived == threads);
    }
}

BOOST_AUTO_TEST_CASE(fewer_threads_than_before_keep_to_their_numbers) {
    visits(100, 8);
    std::atomic<int> strangers{0};
    for (int repeat = 0; repeat < 200; ++repeat)
        parallel_for(20, 2, [&](Index, int thread) {
            if (thread > 1) ++strangers;
        });
    BOOST_TEST(strangers == 0);
}

BOOST_AUTO_TEST_CASE(a_loop_inside_a_body_runs_on_its_thread) {
    std::vector<int> sums(16);
    parallel_for(16, 3, [&](Index outer, int) {
        const auto thread = std::this_thread::get_id();
        parallel_for(10, 3, [&](Index, int number) {
            if (number == 0 && std::this_thread::get_id() == thread) ++sums[static_cast<std::size_t>(outer)];
        });
    });
    BOOST_TEST(std::ranges::count(sums, 10) == 16);
}

BOOST_AUTO_TEST_CASE(an_exception_comes_out_and_ends_the_loop) {
    for (const int threads : {1, 2, 3}) {
        for (int repeat = 0; repeat < 50; ++repeat) {
            std::atomic<Index> ran{0};
            const auto loop = [&] {
                parallel_for(100'000, threads, [&](Index index, int) {
                    if (index == 5) throw bantam::Error{"index 5"};
                    ++ran;
                    // So that the thread that throws gets a core before the others have run all.
                    std::this_thread::yield();
                });
            };
            BOOST_CHECK_EXCEPTION(loop(), bantam::Error,
                                  [](const bantam::Error& error) { return error.what() == std::string{"index 5"}; });
            BOOST_REQUIRE(ran < 100'000 - 1);
        }
        BOOST_TEST(visits(10, threads) == std::vector<int>(10, 1));
    }
}

BOOST_AUTO_TEST_CASE(several_threads_run_loops_at_once) {
    std::vector<std::thread> callers;
    std::atomic<int> correct{0};
    for (int caller = 0; caller < 4; ++caller)
        callers.emplace_back([&] {
            for (int repeat = 0; repeat < 100; ++repeat)
                if (visits(37, 3) == std::vector<int>(37, 1)) ++correct;
        });
    for (std::thread& caller : callers) caller.join();
    BOOST_TEST(correct == 400);
}

BOOST_AUTO_TEST_CASE(waiting_threads_leave_their_cores_to_others) {
    visits(100, 4);
    const double before = processor_seconds();
    std::this_thread::sleep_for(std::chrono::milliseconds{300});
    BOOST_TEST(processor_seconds() - before < 0.1);
    // A caller that waits for another thread's body sleeps, too.
    const auto sleep_in = [](Index index, int) {
        if (index == 0) std::this_thread::sleep_for(std::chrono::milliseconds{300});
    };
    parallel_for(2, 2, sleep_in);
    BOOST_TEST(processor_seconds() - before < 0.2);
}

/// QEMU's user mode (7.2) ends itself where the child of a program with threads starts a thread.
boost::test_tools::assertion_result children_may_have_threads(boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result may{std::getenv("BANTAM_EMULATED") == nullptr};
    may.message() << "QEMU's user mode ends itself where a child process starts a thread";
    return may;
}

BOOST_AUTO_TEST_CASE(a_child_process_runs_loops_and_ends, *boost::unit_test::precondition(children_may_have_threads)) {
    visits(100, 3);
    const pid_t child = fork();
    BOOST_REQUIRE(child >= 0);
    if (child == 0) {
        // The calling thread's pool ends here, as it does when a process ends.
        bool correct = visits(100, 3) == std::vector<int>(100, 1);
        std::thread{[&] { correct = correct && visits(100, 3) == std::vector<int>(100, 1); }}.join();
        _exit(correct ? 0 : 1);
    }
    int status = -1;
    BOOST_REQUIRE(waitpid(child, &status, 0) == child);
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == 0);
}

/// Its destructor runs when the pool of the main thread has ended.
struct LastLoop {
    ~LastLoop() {
        if (visits(100, 3) != std::vector<int>(100, 1)) std::abort();
    }
};
const LastLoop last_loop;

}  // namespace
