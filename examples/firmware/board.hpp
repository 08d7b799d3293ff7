// SPDX-License-Identifier: MIT
// What the example needs of a Cortex-M: text to a debugger, a counter, and how much of the stack was used.
#pragma once

#include <cstdint>

namespace board {

/// Prints through the debugger (semihosting).
void print(const char* text);
void print(std::int32_t number);

/// Ends the program under a debugger.
[[noreturn]] void exit(bool success);

/// Starts SysTick, which counts down from 2²⁴ − 1 at the processor's clock.
void start_counter();
std::uint32_t counted();

/// Bytes of stack that were ever used.
std::uint32_t stack_used();

}  // namespace board
