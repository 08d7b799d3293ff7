# SPDX-License-Identifier: MIT
# Compiles one case and its twin and checks the message; CMakeLists.txt here says what a case is.
#   cmake -D FLAVOUR=gcc|clang|cxx26|nvcc -D COMPILER=... -D OPTIONS="..." -D CASE=file.cpp -P run_case.cmake
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

# The file is read line by line by hand: CMake's lists would split expectations at `;` and `[`.
file(READ ${CASE} rest)
set(checked 0)
while(rest MATCHES "(^|\n)// expect(-[a-z0-9]+)?: ([^\n]*)")
    set(flavour "${CMAKE_MATCH_2}")
    set(expected "${CMAKE_MATCH_3}")
    string(FIND "${rest}" "${CMAKE_MATCH_0}" position)
    string(LENGTH "${CMAKE_MATCH_0}" length)
    math(EXPR position "${position} + ${length}")
    string(SUBSTRING "${rest}" ${position} -1 rest)
    if(NOT flavour MATCHES "^(|-gcc|-clang|-cxx26|-nvcc)$")
        message(FATAL_ERROR "${CASE}: `expect${flavour}` names no known compiler")
    endif()
    if(flavour STREQUAL "" OR flavour STREQUAL "-${FLAVOUR}")
        math(EXPR checked "${checked} + 1")
        if(NOT output MATCHES "${expected}")
            message(FATAL_ERROR
                "${CASE}: the output of ${COMPILER} does not match\n    ${expected}\nit says:\n${output}")
        endif()
    endif()
endwhile()
# A message that drowns in others is no message.
file(READ ${CASE} source)
if(source MATCHES "\n// errors: ([0-9]+)")
    set(allowed ${CMAKE_MATCH_1})
    string(REGEX MATCHALL "error: " errors "${output}")
    list(LENGTH errors count)
    if(count GREATER allowed)
        message(FATAL_ERROR "${CASE}: ${COMPILER} gives ${count} errors, at most ${allowed} are due:\n${output}")
    endif()
endif()
if(checked EQUAL 0)
    message(FATAL_ERROR "${CASE} expects nothing of ${FLAVOUR}; add an `// expect: <regex>` line")
endif()
message(STATUS "${CASE}: refused by ${COMPILER} with ${checked} expected message(s)")
