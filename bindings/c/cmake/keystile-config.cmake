# find_package(keystile): the targets keystile::keystile (shared) and keystile::static.

# The prefix is where include/keystile.h is: above lib/cmake/keystile, above
# lib/x86_64-linux-gnu/cmake/keystile, or above share/cmake/keystile.
set(_keystile_prefix "${CMAKE_CURRENT_LIST_DIR}")
foreach(_keystile_level RANGE 1 5)
    get_filename_component(_keystile_prefix "${_keystile_prefix}" DIRECTORY)
    if(EXISTS "${_keystile_prefix}/include/keystile.h")
        break()
    endif()
endforeach()
get_filename_component(_keystile_libdir "${CMAKE_CURRENT_LIST_DIR}/../.." ABSOLUTE)

find_path(KEYSTILE_INCLUDE_DIR keystile.h
    PATHS "${_keystile_prefix}/include" NO_DEFAULT_PATH)
find_library(KEYSTILE_LIBRARY NAMES keystile
    PATHS "${_keystile_libdir}" "${_keystile_prefix}" PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}"
    NO_DEFAULT_PATH)
find_library(KEYSTILE_STATIC_LIBRARY NAMES libkeystile.a
    PATHS "${_keystile_libdir}" "${_keystile_prefix}" PATH_SUFFIXES lib lib64 "lib/${CMAKE_LIBRARY_ARCHITECTURE}"
    NO_DEFAULT_PATH)
mark_as_advanced(KEYSTILE_INCLUDE_DIR KEYSTILE_LIBRARY KEYSTILE_STATIC_LIBRARY)

include(CMakeFindDependencyMacro)
find_dependency(Threads)

if(KEYSTILE_LIBRARY AND NOT TARGET keystile::keystile)
    add_library(keystile::keystile UNKNOWN IMPORTED)
    set_target_properties(keystile::keystile PROPERTIES
        IMPORTED_LOCATION "${KEYSTILE_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${KEYSTILE_INCLUDE_DIR}")
endif()

if(KEYSTILE_STATIC_LIBRARY AND NOT TARGET keystile::static)
    add_library(keystile::static STATIC IMPORTED)
    set_target_properties(keystile::static PROPERTIES
        IMPORTED_LOCATION "${KEYSTILE_STATIC_LIBRARY}"
        INTERFACE_INCLUDE_DIRECTORIES "${KEYSTILE_INCLUDE_DIR}"
        INTERFACE_LINK_LIBRARIES "Threads::Threads;m;${CMAKE_DL_LIBS}")
endif()

if(NOT KEYSTILE_INCLUDE_DIR OR NOT (KEYSTILE_LIBRARY OR KEYSTILE_STATIC_LIBRARY))
    set(keystile_FOUND FALSE)
    set(keystile_NOT_FOUND_MESSAGE "libkeystile or keystile.h is not under ${_keystile_prefix}")
endif()
