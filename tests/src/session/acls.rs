//! ACLs: nobody is asked who he is, and whoever asks for them is told so.

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;

use super::*;

const TOPIC: i8 = 2;
const LITERAL: i8 = 3;
const READ: i8 = 3;
const ALLOW: i8 = 3;

pub(super) fn exchanges(script: &mut Vec<Exchange>) {
    for version in versions(ApiKey::DescribeAcls) {
        ask(script, "of a topic", ApiKey::DescribeAcls, version, |_| {
            DescribeAclsRequest::default()
                .with_resource_type_filter(TOPIC)
                .with_resource_name_filter(Some(text("t3")))
                .with_pattern_type_filter(LITERAL)
                .with_operation(READ)
                .with_permission_type(ALLOW)
        });
    }
    for version in versions(ApiKey::CreateAcls) {
        ask(script, "two", ApiKey::CreateAcls, version, |_| {
            let allow = |whom: &str| {
                AclCreation::default()
                    .with_resource_type(TOPIC)
                    .with_resource_name(text("t3"))
                    .with_resource_pattern_type(LITERAL)
                    .with_principal(text(whom))
                    .with_host(text("*"))
                    .with_operation(READ)
                    .with_permission_type(ALLOW)
            };
            CreateAclsRequest::default().with_creations(vec![allow("User:u"), allow("User:v")])
        });
        ask(script, "none", ApiKey::CreateAcls, version, |_| CreateAclsRequest::default());
    }
    for version in versions(ApiKey::DeleteAcls) {
        ask(script, "of a topic", ApiKey::DeleteAcls, version, |_| {
            let filter = DeleteAclsFilter::default()
                .with_resource_type_filter(TOPIC)
                .with_resource_name_filter(Some(text("t3")))
                .with_pattern_type_filter(LITERAL)
                .with_operation(READ)
                .with_permission_type(ALLOW);
            DeleteAclsRequest::default().with_filters(vec![filter])
        });
    }
}
