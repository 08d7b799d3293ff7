# SPDX-License-Identifier: MIT
# The libraries of Bantam's headers and programs. bantam_require() takes what is installed; with
# BANTAM_FETCH_DEPENDENCIES it downloads what is not, a fixed version that is checked by its hash. Of a downloaded
# library only the headers are used. FETCHCONTENT_SOURCE_DIR_<NAME> names a folder to take instead of a download.
include(FetchContent)
set(BANTAM_ARCHIVES ${FETCHCONTENT_BASE_DIR}/bantam-archives CACHE PATH
    "Folder of the archives that BANTAM_FETCH_DEPENDENCIES downloads; those that lie there are not downloaded")
mark_as_advanced(BANTAM_ARCHIVES)

# Leaves the archive of library `name` in BANTAM_ARCHIVES and its path in the variable named `into`.
function(bantam_download into name url sha256)
    string(TOUPPER ${name} upper)
    set(remedy "install ${name}, or unpack it and add -DFETCHCONTENT_SOURCE_DIR_${upper}=<its folder>")
    cmake_path(GET url FILENAME file)
    set(archive ${BANTAM_ARCHIVES}/${name}-${file})
    set(found "")
    if(EXISTS ${archive})
        file(SHA256 ${archive} found)
    endif()
    if(NOT found STREQUAL sha256)
        message(STATUS "bantam: downloading ${url}")
        file(DOWNLOAD ${url} ${archive} STATUS status INACTIVITY_TIMEOUT 60 TLS_VERIFY ON)
        list(GET status 0 failed)
        list(GET status 1 reason)
        if(failed)
            file(REMOVE ${archive})
            message(FATAL_ERROR "bantam: cannot download ${url} (${reason}); ${remedy}")
        endif()
        file(SHA256 ${archive} found)
        if(NOT found STREQUAL sha256)
            file(REMOVE ${archive})
            message(FATAL_ERROR "bantam: ${url} is not the expected file (its SHA-256 is ${found}); ${remedy}")
        endif()
    endif()
    set(${into} ${archive} PARENT_SCOPE)
endfunction()

# Sets <name>_SOURCE_DIR to the unpacked sources of library `name`.
function(bantam_fetch name url sha256)
    string(TOUPPER ${name} upper)
    string(TOLOWER ${name} lower)
    set(source)
    if(NOT FETCHCONTENT_SOURCE_DIR_${upper})
        bantam_download(archive ${name} ${url} ${sha256})
        set(source URL ${archive} URL_HASH SHA256=${sha256} DOWNLOAD_EXTRACT_TIMESTAMP OFF)
    endif()
    # The library's own CMakeLists.txt, which may build its tests, is not read.
    FetchContent_Declare(${name} ${source} SOURCE_SUBDIR no-cmake-project)
    FetchContent_MakeAvailable(${name})
    message(STATUS "bantam: ${name} is taken from ${${lower}_SOURCE_DIR}")
    set(${name}_SOURCE_DIR ${${lower}_SOURCE_DIR} PARENT_SCOPE)
endfunction()

# Defines `target`, a library of headers in `folder`.
function(bantam_add_headers target folder)
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    target_include_directories(${target} SYSTEM INTERFACE ${folder})
endfunction()

# Makes TARGET available: of the installed package `name`, else of the installed HEADER, else of the archive at URL,
# which has its headers in the folder INCLUDE. VERSION is the oldest that will do.
function(bantam_require name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "TARGET;VERSION;HEADER;URL;SHA256;INCLUDE;DEFINITION" "")
    if(TARGET ${arg_TARGET})
        return()
    endif()
    # Without a version, because Eigen 5 states that it does not replace Eigen 3; both are fine.
    find_package(${name} QUIET)
    if(TARGET ${arg_TARGET})
        if(${name}_VERSION VERSION_LESS arg_VERSION)
            message(FATAL_ERROR "bantam: ${name} ${${name}_VERSION} in ${${name}_DIR} is too old; "
                    "install ${arg_VERSION} or later")
        endif()
        return()
    endif()
    string(TOUPPER ${name} upper)
    if(arg_HEADER AND NOT CMAKE_DISABLE_FIND_PACKAGE_${name})
        find_path(BANTAM_${upper}_INCLUDE_DIR ${arg_HEADER})
        mark_as_advanced(BANTAM_${upper}_INCLUDE_DIR)
        if(BANTAM_${upper}_INCLUDE_DIR)
            bantam_add_headers(${arg_TARGET} ${BANTAM_${upper}_INCLUDE_DIR})
            return()
        endif()
    endif()
    if(NOT BANTAM_FETCH_DEPENDENCIES)
        message(FATAL_ERROR "bantam: ${name} not found; install it (Debian: tools/install_dependencies.sh), "
                "or download it with -DBANTAM_FETCH_DEPENDENCIES=ON")
    endif()
    bantam_fetch(${name} ${arg_URL} ${arg_SHA256})
    set(folder ${${name}_SOURCE_DIR}/${arg_INCLUDE})
    # <stb/stb_image.h> lies at the top of its archive.
    if(arg_HEADER MATCHES "^(.+)/")
        set(prefix ${CMAKE_MATCH_1})
        file(GLOB headers ${folder}/*.h)
        set(folder ${FETCHCONTENT_BASE_DIR}/bantam-include)
        foreach(header IN LISTS headers)
            cmake_path(GET header FILENAME file)
            file(CONFIGURE OUTPUT ${folder}/${prefix}/${file} CONTENT "#include \"@header@\"\n" @ONLY)
        endforeach()
    endif()
    bantam_add_headers(${arg_TARGET} ${folder})
    target_compile_definitions(${arg_TARGET} INTERFACE ${arg_DEFINITION})
endfunction()

# What the library's headers need.
function(bantam_require_eigen)
    bantam_require(Eigen3 TARGET Eigen3::Eigen VERSION 3.4 INCLUDE .
        URL https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
        SHA256 8586084f71f9bde545ee7fa6d00288b264a2b7ac3607b974e54d13e7162c1c72)
endfunction()

# What headers for files and pictures need beside Eigen.
set(BANTAM_FILE_LIBRARIES nlohmann_json::nlohmann_json xxHash::xxhash stb::stb)
function(bantam_require_file_libraries)
    bantam_require(nlohmann_json TARGET nlohmann_json::nlohmann_json VERSION 3.10 INCLUDE include
        URL https://github.com/nlohmann/json/releases/download/v3.11.3/json.tar.xz
        SHA256 d6c65aca6b1ed68e7a182f4757257b107ae403032760ed6ef121c9d55e81757d)
    bantam_require(xxHash TARGET xxHash::xxhash HEADER xxhash.h INCLUDE .
        URL https://github.com/Cyan4973/xxHash/archive/refs/tags/v0.8.2.tar.gz
        SHA256 baee0c6afd4f03165de7a4e67988d16f0f2b257b51d0e3cb91909302a26a79c4)
    bantam_require(stb TARGET stb::stb HEADER stb/stb_image.h INCLUDE .
        URL https://github.com/nothings/stb/archive/8b5f1f37b5b75829fc72d38e7b5d4bcbf8a26d55.tar.gz
        SHA256 c47cf5abe21e1d620afccd159c23fe71dfa86eb270015a7646a4f79e9bfd5503)
endfunction()

# What Bantam's programs need beside these.
function(bantam_require_program_libraries)
    bantam_require(fmt TARGET fmt::fmt VERSION 9 INCLUDE include DEFINITION FMT_HEADER_ONLY
        URL https://github.com/fmtlib/fmt/archive/refs/tags/9.1.0.tar.gz
        SHA256 5dea48d1fcddc3ec571ce2058e13910a0d4a6bab4cc09a809d8b1dd1c88ae6f2)
    bantam_require(CLI11 TARGET CLI11::CLI11 VERSION 2 INCLUDE include
        URL https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.3.2.tar.gz
        SHA256 aac0ab42108131ac5d3344a9db0fdf25c4db652296641955720a4fbe52334e22)
endfunction()
