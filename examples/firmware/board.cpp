// SPDX-License-Identifier: MIT
#include "board.hpp"

#include <cstdint>

// Symbols of memory.ld.
extern "C" {
extern std::uint32_t data_begin[], data_end[], data_image[], bss_begin[], bss_end[], stack_begin[], stack_end[];
using Initializer = void (*)();
extern Initializer init_array_begin[], init_array_end[];
[[noreturn]] void reset();
}

int main();

namespace {

constexpr std::uint32_t unused_stack = 0xa5a5a5a5;

volatile std::uint32_t& device_register(std::uintptr_t address) {
    return *reinterpret_cast<volatile std::uint32_t*>(address);
}

std::uint32_t debugger(std::uint32_t operation, const void* argument) {
    register std::uint32_t r0 asm("r0") = operation;
    register const void* r1 asm("r1") = argument;
    asm volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

[[noreturn]] void fault() { board::exit(false); }

using Vector = void (*)();
[[gnu::section(".vectors"), gnu::used]] const Vector vectors[16] = {
    reinterpret_cast<Vector>(stack_end), reset, fault, fault, fault, fault, fault};

}  // namespace

void reset() {
    // The floating-point unit, where there is one.
    device_register(0xe000ed88) = device_register(0xe000ed88) | 0xfU << 20;
    asm volatile("dsb\n\tisb");
    const std::uint32_t* from = data_image;
    for (std::uint32_t* to = data_begin; to < data_end; ++to) *to = *from++;
    for (std::uint32_t* to = bss_begin; to < bss_end; ++to) *to = 0;
    // volatile keeps the compiler from calling memset, whose frame would be painted over.
    volatile std::uint32_t* top;
    asm volatile("mov %0, sp" : "=r"(top));
    for (volatile std::uint32_t* to = stack_begin; to < top; ++to) *to = unused_stack;
    for (Initializer* initialize = init_array_begin; initialize < init_array_end; ++initialize) (*initialize)();
    board::exit(main() == 0);
}

namespace board {

void print(const char* text) { debugger(0x04, text); }

void print(std::int32_t number) {
    char digits[12];
    char* at = digits + sizeof digits;
    *--at = '\0';
    const bool negative = number < 0;
    std::uint32_t rest = negative ? 0U - static_cast<std::uint32_t>(number) : static_cast<std::uint32_t>(number);
    do {
        *--at = static_cast<char>('0' + rest % 10);
        rest /= 10;
    } while (rest > 0);
    if (negative) *--at = '-';
    print(at);
}

void exit(bool success) {
    const std::uint32_t reason[2] = {0x20026, success ? 0U : 1U};
    debugger(0x20, reason);
    while (true) {
    }
}

void start_counter() {
    device_register(0xe000e014) = 0xffffff;
    device_register(0xe000e018) = 0;
    device_register(0xe000e010) = 5;
}

std::uint32_t counted() { return 0xffffff - device_register(0xe000e018); }

std::uint32_t stack_used() {
    const std::uint32_t* at = stack_begin;
    while (at < stack_end && *at == unused_stack) ++at;
    return static_cast<std::uint32_t>(stack_end - at) * 4;
}

}  // namespace board
