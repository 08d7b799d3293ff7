// SPDX-License-Identifier: MIT
// A student on a microcontroller: it takes a picture line by line, as a camera gives it, without a heap, and prints the
// class and the logits. The picture is the one whose logits the header holds, so that the board tests itself.
#include "board.hpp"
#include "student.hpp"

#include <bantam/deploy/line_classifier.hpp>
#include <bantam/deploy/self_test.hpp>

#include <cstdint>

using namespace bantam;

using Classifier = deploy::LineClassifier<student::Network, student::Precision>;

// What the board has for the student. One that needs more does not compile.
static_assert(Classifier::arena_bytes <= 64 * 1024, "the student takes more RAM: export int8, or raise this limit");
static_assert(Classifier::weight_bytes <= 512 * 1024, "the student takes more flash: export int8, or raise this limit");

namespace {

Classifier classifier{student::weights};

void print_line(const char* name, std::int32_t number) {
    board::print(name);
    board::print(number);
    board::print("\n");
}

}  // namespace

int main() {
    board::start_counter();
    const Classifier::Logit* logits = deploy::test_logits(classifier);
    const std::uint32_t ticks = board::counted();

    for (int i = 0; i < static_cast<int>(Classifier::class_count); ++i)
        print_line("logit ", static_cast<std::int32_t>(logits[i]));
    print_line("class ", classifier.predicted_class());
    print_line("arena bytes ", static_cast<std::int32_t>(Classifier::arena_bytes));
    print_line("weight bytes ", static_cast<std::int32_t>(Classifier::weight_bytes));
    print_line("multiply-adds ", static_cast<std::int32_t>(Classifier::multiply_adds));
    print_line("stack bytes ", static_cast<std::int32_t>(board::stack_used()));
    print_line("ticks ", static_cast<std::int32_t>(ticks));
    const bool right = deploy::logits_match(logits, student::expected_test_logits, Classifier::class_count);
    board::print(right ? "self-test passed\n" : "self-test FAILED\n");
    return right ? 0 : 1;
}
