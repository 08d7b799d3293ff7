# SPDX-License-Identifier: MIT
# Dependencies, warnings and functions for Bantam's own executables: tests, examples, tools and benchmarks. None of it
# applies to projects that use the library. Third-party headers are SYSTEM, so that warnings concern Bantam alone.

find_package(OpenMP COMPONENTS CXX)
bantam_require_file_libraries()
bantam_require_program_libraries()
if(NOT OpenMP_CXX_FOUND)
    message(STATUS "bantam: no OpenMP for ${CMAKE_CXX_COMPILER}; tests of the CUDA backend will use one thread")
endif()

add_library(bantam_executable_dependencies INTERFACE)
target_link_libraries(bantam_executable_dependencies INTERFACE
    bantam::bantam ${BANTAM_FILE_LIBRARIES}
    $<$<BOOL:${OpenMP_CXX_FOUND}>:OpenMP::OpenMP_CXX>)

# Programs that mpirun starts share their work where MPI is found. The C++ interface, which MPI 3 removed, is not used.
set(BANTAM_HAS_MPI OFF)
if(BANTAM_MPI)
    set(MPI_CXX_SKIP_MPICXX ON)
    find_package(MPI QUIET COMPONENTS CXX)
    set(BANTAM_HAS_MPI ${MPI_CXX_FOUND})
    if(NOT BANTAM_HAS_MPI)
        message(STATUS "bantam: MPI not found (Debian: libopenmpi-dev); programs run as one process")
    endif()
endif()

# ONNX models are written where the format's library is found.
find_package(Protobuf QUIET)
if(Protobuf_FOUND)
    find_package(ONNX CONFIG QUIET)
endif()
if(NOT TARGET onnx_proto)
    message(STATUS "bantam: libonnx-dev not found; export_student will not write ONNX models")
endif()

# The same include folders as options, for tests that call a compiler directly.
set(BANTAM_SYSTEM_INCLUDES)
foreach(library IN ITEMS Eigen3::Eigen ${BANTAM_FILE_LIBRARIES})
    get_target_property(folders ${library} INTERFACE_INCLUDE_DIRECTORIES)
    # /usr/include is searched by default; as -isystem it would come before the compiler's own headers.
    list(REMOVE_ITEM folders /usr/include)
    foreach(folder IN LISTS folders)
        list(APPEND BANTAM_SYSTEM_INCLUDES -isystem ${folder})
    endforeach()
endforeach()

# g++ 12 reports overlapping copies in std::string additions (GCC bug 105651) and uninitialized values in its own
# header of AVX-512 intrinsics (GCC bug 105593). Both reports are wrong.
target_compile_options(bantam_executable_dependencies INTERFACE
    "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict;-Wno-uninitialized;-Wno-maybe-uninitialized>")

set(BANTAM_WARNINGS -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror)
# nvcc generates code that -Wpedantic rejects, and g++ 12 reports the same two errors in it.
set(BANTAM_CUDA_WARNINGS
    --Werror=all-warnings -Xcompiler=-Wall,-Wextra,-Wconversion,-Wshadow,-Wno-restrict,-Wno-maybe-uninitialized)

# The instruction set of the build machine, for Bantam's own executables only.
add_library(bantam_native INTERFACE)
if(BANTAM_NATIVE)
    include(CheckCXXCompilerFlag)
    check_cxx_compiler_flag(-march=native BANTAM_HAS_MARCH_NATIVE)
    if(BANTAM_HAS_MARCH_NATIVE)
        target_compile_options(bantam_native INTERFACE
            $<$<COMPILE_LANGUAGE:CXX>:-march=native> $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-march=native>)
    endif()
endif()

# Code that programs share (command line, reading of pictures), compiled once for all of them.
if(BANTAM_BUILD_EXAMPLES OR BANTAM_BUILD_TOOLS OR BANTAM_BUILD_BENCH)
    # The page of a run's report is part of the programs, which then need none of these files.
    set(report_files ${PROJECT_SOURCE_DIR}/tools/shared/report)
    file(READ ${report_files}/page.html report_page)
    file(READ ${report_files}/style.css report_style)
    file(READ ${report_files}/script.js report_script)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS
        ${report_files}/page.html ${report_files}/style.css ${report_files}/script.js)
    configure_file(${PROJECT_SOURCE_DIR}/cmake/report_page.cpp.in ${PROJECT_BINARY_DIR}/report_page.cpp @ONLY)

    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tools/shared/*.cpp)
    add_library(bantam_programs_common STATIC ${sources} ${PROJECT_BINARY_DIR}/report_page.cpp)
    target_include_directories(bantam_programs_common PRIVATE ${PROJECT_SOURCE_DIR})
    target_link_libraries(bantam_programs_common
        PUBLIC bantam_executable_dependencies bantam_native fmt::fmt
        PRIVATE CLI11::CLI11 $<$<BOOL:${BANTAM_HAS_MPI}>:MPI::MPI_CXX>)
    target_compile_definitions(bantam_programs_common PRIVATE $<$<BOOL:${BANTAM_HAS_MPI}>:BANTAM_HAS_MPI>)
    target_compile_options(bantam_programs_common PRIVATE ${BANTAM_WARNINGS})
    set_target_properties(bantam_programs_common PROPERTIES CXX_EXTENSIONS OFF)
endif()

# Prepares `target` for sources that nvcc compiles, and links what they need.
function(bantam_use_cuda target)
    # As an option, because CMake 3.25 does not know that nvcc supports C++20.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20>)
    # fmt 9 disables its compile-time format checks under nvcc; this enables them.
    target_compile_definitions(${target} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>)
    target_link_libraries(${target} PRIVATE CUDA::cublas)
endfunction()

# The same for sources in which several GPUs exchange data.
function(bantam_use_nccl target)
    if(BANTAM_HAS_NCCL)
        target_include_directories(${target} SYSTEM PRIVATE ${BANTAM_NCCL_INCLUDE_DIR})
        target_link_libraries(${target} PRIVATE ${BANTAM_NCCL_LIBRARY})
        target_compile_definitions(${target} PRIVATE BANTAM_HAS_NCCL)
    endif()
endfunction()

# Compile options and definitions of all sources of a program.
function(bantam_set_program_options target)
    target_link_libraries(${target} PRIVATE bantam_programs_common)
    target_compile_options(${target} PRIVATE
        "$<$<COMPILE_LANGUAGE:CXX>:${BANTAM_WARNINGS}>" "$<$<COMPILE_LANGUAGE:CUDA>:${BANTAM_CUDA_WARNINGS}>")
    target_compile_definitions(${target} PRIVATE
        BANTAM_CLASSES=${BANTAM_CLASSES} BANTAM_IMAGE_SIZE=${BANTAM_IMAGE_SIZE})
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# Makes one program of every .cpp directly in `folder`, named like the file.
function(bantam_add_programs folder)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
    foreach(source IN LISTS sources)
        cmake_path(GET source STEM program)
        cmake_path(REPLACE_EXTENSION source LAST_ONLY cu OUTPUT_VARIABLE on_gpu)
        if(program STREQUAL "distill_food11")
            add_executable(distill_food11)
            bantam_add_students()
        elseif(EXISTS ${on_gpu})
            # A .cu file of the same name holds the program's GPU part and defines gpu_job(). The CPU part is an
            # object library, because tests link it with another GPU part.
            add_library(${program}_on_cpu OBJECT ${source})
            bantam_set_program_options(${program}_on_cpu)
            add_executable(${program})
            target_link_libraries(${program} PRIVATE ${program}_on_cpu)
            if(BANTAM_HAS_CUDA)
                target_sources(${program} PRIVATE ${on_gpu})
                bantam_use_cuda(${program})
            else()
                set(no_gpu_job ${PROJECT_BINARY_DIR}/${program}_no_gpu_job.cpp)
                configure_file(${PROJECT_SOURCE_DIR}/cmake/no_gpu_job.cpp.in ${no_gpu_job} @ONLY)
                target_sources(${program} PRIVATE ${no_gpu_job})
            endif()
        else()
            add_executable(${program} ${source})
        endif()
        bantam_set_program_options(${program})
        set_target_properties(${program} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/${folder})
        set_property(GLOBAL APPEND PROPERTY BANTAM_PROGRAMS ${program})
    endforeach()
endfunction()
