// SPDX-License-Identifier: MIT
// The mechanism that all other cases use: every compiler prints a number
// that is an argument of an undefined template.
// expect: exceeds<101L?, 100L?>
// expect-gcc: incomplete type
// expect-clang: undefined template
// expect-cxx26: undefined template
// expect-nvcc: incomplete type
// with: cxx26

template <long Count, long Limit>
struct exceeds;

template <long Count, long Limit>
constexpr bool accept() {
    if constexpr (Count > Limit) return sizeof(exceeds<Count, Limit>) == 0;
    return true;
}

#ifdef TWIN
static_assert(accept<100, 100>());
#else
static_assert(accept<101, 100>());
#endif
