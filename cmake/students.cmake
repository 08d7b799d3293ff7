# SPDX-License-Identifier: MIT
# The students of examples/distill_food11 and examples/export_student. Each file of examples/students/ and of
# BANTAM_STUDENT_FOLDERS is one: my_student.hpp is `my-student`. distill_food11 lists all of them and trains those of
# BANTAM_STUDENTS, which export_student writes; each is compiled alone.

set(BANTAM_STUDENTS "mobile-98k;my-student" CACHE STRING
    "Students that the examples can train and export, the default one first")
set(BANTAM_GPU_STUDENTS "" CACHE STRING "Those of BANTAM_STUDENTS that can train on a GPU; empty for all of them")

# A trainer for int8 takes as long to compile as another student, so that by default the first student alone has one.
set(BANTAM_INT8_STUDENTS "" CACHE STRING
    "Students of BANTAM_STUDENTS that can be trained for int8 (--quantize), or none; by default the first of them")

set(BANTAM_STUDENT_FOLDERS "" CACHE STRING "Folders with students of your own, beside examples/students")

# The file of student NAME is ${student_file_NAME}; all students are in BANTAM_ALL_STUDENTS, those of BANTAM_STUDENTS
# first.
set(BANTAM_ALL_STUDENTS)
foreach(folder IN LISTS BANTAM_STUDENT_FOLDERS ITEMS ${PROJECT_SOURCE_DIR}/examples/students)
    get_filename_component(folder ${folder} ABSOLUTE)
    file(GLOB headers CONFIGURE_DEPENDS ${folder}/*.hpp)
    if(NOT headers)
        message(FATAL_ERROR "bantam: BANTAM_STUDENT_FOLDERS names '${folder}', where there is no student (*.hpp)")
    endif()
    foreach(header IN LISTS headers)
        get_filename_component(student ${header} NAME_WE)
        string(REPLACE "_" "-" student ${student})
        if(student IN_LIST BANTAM_ALL_STUDENTS)
            message(FATAL_ERROR "bantam: ${header} and ${student_file_${student}} are two students of one name; rename "
                                "one of them")
        endif()
        set(student_file_${student} ${header})
        list(APPEND BANTAM_ALL_STUDENTS ${student})
    endforeach()
endforeach()
foreach(student IN LISTS BANTAM_STUDENTS)
    if(NOT student IN_LIST BANTAM_ALL_STUDENTS)
        list(JOIN BANTAM_ALL_STUDENTS ", " known)
        message(FATAL_ERROR "bantam: BANTAM_STUDENTS names '${student}'; there are ${known}")
    endif()
endforeach()
set(int8_students "${BANTAM_INT8_STUDENTS}")
list(REMOVE_ITEM int8_students none)
foreach(student IN LISTS BANTAM_GPU_STUDENTS int8_students)
    if(NOT student IN_LIST BANTAM_STUDENTS)
        message(FATAL_ERROR "bantam: BANTAM_GPU_STUDENTS or BANTAM_INT8_STUDENTS names '${student}', which is not one of "
                            "BANTAM_STUDENTS")
    endif()
endforeach()
if(BANTAM_INT8_STUDENTS STREQUAL "")
    list(GET BANTAM_STUDENTS 0 int8_students)
endif()
list(REMOVE_ITEM BANTAM_ALL_STUDENTS ${BANTAM_STUDENTS})
list(PREPEND BANTAM_ALL_STUDENTS ${BANTAM_STUDENTS})

# Appends a source file that trains each of the students given last on `device` (cpu, cpu_int8 or gpu) to the list named
# `into`.
function(bantam_write_trainers into folder device extension)
    foreach(student IN LISTS ARGN)
        string(REPLACE "-" "_" file ${student})
        set(header ${student_file_${student}})
        set(written ${folder}/${file}_on_${device}.${extension})
        configure_file(${PROJECT_SOURCE_DIR}/cmake/train_student.in ${written} @ONLY)
        list(APPEND ${into} ${written})
    endforeach()
    set(${into} ${${into}} PARENT_SCOPE)
endfunction()

# Appends the source file that lists all students to the list named `into`; the students given last train on a GPU.
function(bantam_write_student_list into folder)
    set(includes)
    set(entries)
    foreach(student IN LISTS BANTAM_ALL_STUDENTS)
        string(REPLACE "-" "_" file ${student})
        set(net "students::${file}::Network<BANTAM_CLASSES, BANTAM_IMAGE_SIZE>")
        set(on_cpu nullptr)
        set(on_cpu_int8 nullptr)
        set(on_gpu nullptr)
        if(student IN_LIST BANTAM_STUDENTS)
            set(on_cpu "train_on_cpu<${net}>")
        endif()
        if(student IN_LIST int8_students)
            set(on_cpu_int8 "train_on_cpu_int8<${net}>")
        endif()
        if(student IN_LIST ARGN)
            set(on_gpu "train_on_gpu<${net}>")
        endif()
        string(APPEND includes "#include \"${student_file_${student}}\"\n")
        string(APPEND entries "        {describe<${net}>(\"${student}\", students::${file}::accuracy),\n"
               "         ${on_cpu},\n         ${on_cpu_int8},\n         ${on_gpu}},\n")
    endforeach()
    configure_file(${PROJECT_SOURCE_DIR}/cmake/students.cpp.in ${folder}/students.cpp @ONLY)
    set(${into} ${${into}} ${folder}/students.cpp PARENT_SCOPE)
endfunction()

# Adds the students to the program distill_food11. Its part for the CPU is an object library, because tests link it with
# another GPU part.
function(bantam_add_students)
    set(folder ${PROJECT_BINARY_DIR}/students)
    file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/distill_food11/*.cpp)
    list(APPEND sources ${PROJECT_SOURCE_DIR}/examples/distill_food11.cpp)
    bantam_write_trainers(sources ${folder} cpu cpp ${BANTAM_STUDENTS})
    bantam_write_trainers(sources ${folder} cpu_int8 cpp ${int8_students})
    add_library(distill_food11_on_cpu OBJECT ${sources})
    bantam_set_program_options(distill_food11_on_cpu)

    set(sources)
    if(BANTAM_HAS_CUDA)
        set(on_gpu ${BANTAM_GPU_STUDENTS})
        if(NOT on_gpu)
            set(on_gpu ${BANTAM_STUDENTS})
        endif()
        bantam_write_trainers(sources ${folder} gpu cu ${on_gpu})
        bantam_write_student_list(sources ${folder} ${on_gpu})
        bantam_use_cuda(distill_food11)
        bantam_use_nccl(distill_food11)
    else()
        bantam_write_student_list(sources ${folder})
    endif()
    target_sources(distill_food11 PRIVATE ${sources})
    target_link_libraries(distill_food11 PRIVATE distill_food11_on_cpu)
endfunction()

# Adds the students of BANTAM_STUDENTS to the program export_student.
function(bantam_add_exports)
    set(folder ${PROJECT_BINARY_DIR}/students)
    set(includes)
    set(entries)
    set(sources)
    foreach(student IN LISTS BANTAM_STUDENTS)
        string(REPLACE "-" "_" file ${student})
        set(header ${student_file_${student}})
        configure_file(${PROJECT_SOURCE_DIR}/cmake/export_student.in ${folder}/export_${file}.cpp @ONLY)
        list(APPEND sources ${folder}/export_${file}.cpp)
        string(APPEND includes "#include \"${student_file_${student}}\"\n")
        string(APPEND entries "        {\"${student}\", "
               "export_student<students::${file}::Network<BANTAM_CLASSES, BANTAM_IMAGE_SIZE>>},\n")
    endforeach()
    configure_file(${PROJECT_SOURCE_DIR}/cmake/exported_students.cpp.in ${folder}/exported_students.cpp @ONLY)
    target_sources(export_student PRIVATE ${sources} ${folder}/exported_students.cpp)
    if(TARGET onnx_proto)
        target_link_libraries(export_student PRIVATE onnx_proto)
        target_compile_definitions(export_student PRIVATE BANTAM_HAS_ONNX)
    endif()
endfunction()

# Adds all students to the program prune_channels.
function(bantam_add_pruning)
    set(includes)
    set(entries)
    foreach(student IN LISTS BANTAM_ALL_STUDENTS)
        string(REPLACE "-" "_" file ${student})
        string(APPEND includes "#include \"${student_file_${student}}\"\n")
        string(APPEND entries
               "        entry<students::${file}::Network<BANTAM_CLASSES, BANTAM_IMAGE_SIZE>>(\"${student}\"),\n")
    endforeach()
    configure_file(${PROJECT_SOURCE_DIR}/cmake/prunable_students.cpp.in
                   ${PROJECT_BINARY_DIR}/students/prunable_students.cpp @ONLY)
    target_sources(prune_channels PRIVATE ${PROJECT_BINARY_DIR}/students/prunable_students.cpp)
endfunction()
