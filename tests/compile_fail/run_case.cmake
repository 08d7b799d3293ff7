# SPDX-License-Identifier: MIT
# Compiles one case and its twin and checks the messages; CMakeLists.txt in this folder defines a case.
#   cmake -D VARIANT=gcc|clang|cxx26|nvcc -D COMPILER=... -D OPTIONS="..." -D CASE=file.cpp -P run_case.cmake
cmake_minimum_required(VERSION 3.25)

separate_arguments(options UNIX_COMMAND "${OPTIONS}")

execute_process(COMMAND ${COMPILER} ${options} -DTWIN ${CASE}
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT status EQUAL 0)
    message(FATAL_ERROR "the twin of ${CASE} must compile, but ${COMPILER} says:\n${output}")
endif()

execute_process(COMMAND ${COMPILER} ${options} ${CASE}
    RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(status EQUAL 0)
    message(FATAL_ERROR "${CASE} must not compile, but ${COMPILER} accepts it")
endif()

# Lines are counted as a user sees them.
set(allowed 25)
file(READ ${CASE} source)
if(source MATCHES "\n// lines: ([0-9]+)")
    set(allowed ${CMAKE_MATCH_1})
endif()
string(REGEX MATCHALL "\n" lines "${output}")
list(LENGTH lines count)
if(count GREATER allowed AND NOT VARIANT STREQUAL "nvcc")
    message(FATAL_ERROR "${CASE}: ${COMPILER} prints ${count} lines, expected at most ${allowed}:\n${output}")
endif()

# The message alone is matched: without the source lines below it, and with its words in one piece (clang).
string(REGEX REPLACE "\n *[0-9]* \\|[^\n]*" "" output "${output}")
string(REGEX REPLACE "\"}, (bantam::)?Words<[a-z0-9]+>{\"" "" output "${output}")

# Expectations are read with a regex: CMake's lists would split them at `;` and `[`.
file(READ ${CASE} rest)
set(checked 0)
while(rest MATCHES "(^|\n)// expect(-[a-z0-9]+)?: ([^\n]*)")
    set(variant "${CMAKE_MATCH_2}")
    set(expected "${CMAKE_MATCH_3}")
    string(FIND "${rest}" "${CMAKE_MATCH_0}" position)
    string(LENGTH "${CMAKE_MATCH_0}" length)
    math(EXPR position "${position} + ${length}")
    string(SUBSTRING "${rest}" ${position} -1 rest)
    if(NOT variant MATCHES "^(|-text|-gcc|-clang|-cxx26|-nvcc)$")
        message(FATAL_ERROR "${CASE}: `expect${variant}` names no known compiler")
    endif()
    if(variant STREQUAL "" OR variant STREQUAL "-${VARIANT}" OR
       (variant STREQUAL "-text" AND NOT VARIANT STREQUAL "nvcc"))
        math(EXPR checked "${checked} + 1")
        if(NOT output MATCHES "${expected}")
            message(FATAL_ERROR
                "${CASE}: the output of ${COMPILER} does not match\n    ${expected}\nit says:\n${output}")
        endif()
    endif()
endwhile()
if(source MATCHES "\n//[^\n]+ (expect(-[a-z0-9]+)?|errors|lines): ")
    message(FATAL_ERROR "${CASE}: every expectation must begin a line")
endif()
# Other errors must not bury Bantam's message.
if(source MATCHES "\n// errors: ([0-9]+)")
    set(allowed ${CMAKE_MATCH_1})
    string(REGEX MATCHALL "error: " errors "${output}")
    list(LENGTH errors count)
    if(count GREATER allowed)
        message(FATAL_ERROR "${CASE}: ${COMPILER} gives ${count} errors, expected at most ${allowed}:\n${output}")
    endif()
endif()
if(checked EQUAL 0)
    message(FATAL_ERROR "${CASE} has no expectation for ${VARIANT}; add an `// expect: <regex>` line")
endif()
message(STATUS "${CASE}: refused by ${COMPILER} with ${checked} expected message(s)")
