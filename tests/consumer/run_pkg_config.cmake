# SPDX-License-Identifier: MIT
# Compiles and runs the consumer with the flags of pkg-config alone.
set(ENV{PKG_CONFIG_PATH} ${PREFIX}/share/pkgconfig)
execute_process(COMMAND ${PKG_CONFIG} --cflags --libs bantam
    OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
separate_arguments(flags UNIX_COMMAND "${flags}")
file(MAKE_DIRECTORY ${WORK})
execute_process(
    COMMAND ${COMPILER} -std=c++20 ${flags}
        ${PROJECT_FOLDER}/main.cpp ${PROJECT_FOLDER}/other.cpp -o ${WORK}/consumer
    COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${WORK}/consumer COMMAND_ERROR_IS_FATAL ANY)
