# SPDX-License-Identifier: MIT
# Installs the headers, the CMake package and the pkg-config file.
include(CMakePackageConfigHelpers)

set(package_folder ${CMAKE_INSTALL_DATADIR}/cmake/bantam)

install(DIRECTORY include/bantam DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
        FILES_MATCHING PATTERN "*.hpp")
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(TARGETS bantam EXPORT bantamTargets)
install(EXPORT bantamTargets NAMESPACE bantam:: DESTINATION ${package_folder})

configure_package_config_file(cmake/bantamConfig.cmake.in
    ${PROJECT_BINARY_DIR}/bantamConfig.cmake
    INSTALL_DESTINATION ${package_folder})
# Before 1.0 a minor version may change the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/bantamConfigVersion.cmake
    COMPATIBILITY SameMinorVersion ARCH_INDEPENDENT)
install(FILES ${PROJECT_BINARY_DIR}/bantamConfig.cmake
              ${PROJECT_BINARY_DIR}/bantamConfigVersion.cmake
        DESTINATION ${package_folder})

# Paths in bantam.pc are relative to that file, so that an installed tree can be moved.
set(pkgconfig_folder ${CMAKE_INSTALL_DATADIR}/pkgconfig)
file(RELATIVE_PATH BANTAM_PKGCONFIG_PREFIX
     ${CMAKE_INSTALL_FULL_DATADIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/bantam.pc.in ${PROJECT_BINARY_DIR}/bantam.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/bantam.pc DESTINATION ${pkgconfig_folder})
