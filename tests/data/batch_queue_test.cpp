// SPDX-License-Identifier: MIT
#define BOOST_TEST_MODULE batch_queue
#include <bantam/data/batch_queue.hpp>

#include <bantam/base/error.hpp>

#include "io/temporary_folder.hpp"

#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <thread>

namespace {

using namespace bantam_test;
using bantam::Batch;
using bantam::BatchQueue;
using bantam::Index;

BOOST_AUTO_TEST_CASE(a_queue_delivers_every_batch_in_order) {
    for (const Index count : {0, 1, 2, 3, 200})
        for (const Index first : {0, 1}) {
            BatchQueue queue{count, [](Index index, Batch& batch) { batch.count = index; }, first};
            for (Index index = first; index < count; ++index) {
                const Batch* batch = queue.next();
                BOOST_REQUIRE(batch != nullptr);
                BOOST_REQUIRE(batch->count == index);
            }
            BOOST_TEST(queue.next() == nullptr);
            BOOST_TEST(queue.next() == nullptr);
        }
}

BOOST_AUTO_TEST_CASE(the_next_batch_is_prepared_while_this_one_is_used) {
    std::atomic<Index> prepared{0};
    BatchQueue queue{10, [&](Index, Batch&) { ++prepared; }};
    queue.next();
    for (int wait = 0; wait < 2000 && prepared < 2; ++wait) std::this_thread::sleep_for(std::chrono::milliseconds{1});
    BOOST_TEST(prepared == 2);
}

BOOST_AUTO_TEST_CASE(an_exception_comes_out_of_next_after_the_earlier_batches) {
    BatchQueue queue{5, [](Index index, Batch& batch) {
                         if (index == 2) throw bantam::Error{"batch 2 is broken"};
                         batch.count = index;
                     }};
    BOOST_TEST(queue.next()->count == 0);
    BOOST_TEST(queue.next()->count == 1);
    BOOST_TEST(message_of<bantam::Error>([&] { queue.next(); }) == "batch 2 is broken");
    BOOST_TEST(message_of<bantam::Error>([&] { queue.next(); }) == "batch 2 is broken");
}

BOOST_AUTO_TEST_CASE(a_queue_may_be_destroyed_at_any_time) {
    for (int taken = 0; taken < 4; ++taken) {
        BatchQueue queue{100, [](Index, Batch& batch) { batch.pixels.assign(10'000, 1.0F); }};
        for (int index = 0; index < taken; ++index) queue.next();
    }
}

}  // namespace
