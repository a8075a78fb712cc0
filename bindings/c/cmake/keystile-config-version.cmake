# Which versions of find_package(keystile VERSION) this one satisfies. Before 1.0 a minor version
# may change the interface, and so only versions with the same one are compatible.

set(PACKAGE_VERSION "0.1.0")

string(REGEX MATCH "^(0\\.[0-9]+|[0-9]+)" _keystile_has "${PACKAGE_VERSION}")
# 0 alone is a request for any version before 1.0, as 1 is for any before 2.0.
set(_keystile_wants "${PACKAGE_FIND_VERSION_MAJOR}")
if(_keystile_wants EQUAL 0 AND PACKAGE_FIND_VERSION_COUNT GREATER 1)
    set(_keystile_wants "0.${PACKAGE_FIND_VERSION_MINOR}")
endif()

set(PACKAGE_VERSION_COMPATIBLE FALSE)
if(PACKAGE_FIND_VERSION_RANGE)
    if(PACKAGE_VERSION VERSION_GREATER_EQUAL PACKAGE_FIND_VERSION_MIN AND
       (PACKAGE_VERSION VERSION_LESS PACKAGE_FIND_VERSION_MAX OR
        (PACKAGE_FIND_VERSION_RANGE_MAX STREQUAL "INCLUDE" AND
         PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION_MAX)))
        set(PACKAGE_VERSION_COMPATIBLE TRUE)
    endif()
elseif(PACKAGE_VERSION VERSION_GREATER_EQUAL PACKAGE_FIND_VERSION AND
       (_keystile_wants STREQUAL _keystile_has OR
        (_keystile_wants STREQUAL "0" AND _keystile_has MATCHES "^0\\.")))
    set(PACKAGE_VERSION_COMPATIBLE TRUE)
endif()
if(PACKAGE_VERSION VERSION_EQUAL PACKAGE_FIND_VERSION)
    set(PACKAGE_VERSION_EXACT TRUE)
endif()

unset(_keystile_has)
unset(_keystile_wants)
