//! One order, from the account to the certificate (RFC 8555 §7.4), with TLS-ALPN-01 (RFC 8737) for each name.
//!
//! What the authority says is turned into one of our reasons; none of its words goes further.

use instant_acme::{
    Account, AccountCredentials, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount,
    NewOrder, Order, OrderStatus, Problem, RetryPolicy,
};
use rustls_pki_types::CertificateDer;
use ward_edge::instruction::Instruction;
use ward_policy::audit::Event;
use ward_policy::fault::AcmeFault;
use ward_policy::limit;

use super::Acme;
use super::http::Failed;
use super::record::Chain;
use crate::answer::unix_s;

/// Steps of an order are asked after like this.
const POLL: RetryPolicy =
    RetryPolicy::new().initial_delay(limit::ACME_POLL_PAUSE).timeout(limit::ACME_POLL_DEADLINE);

impl Acme {
    /// The account: the one in use, the one that was kept, or a new one.
    pub(super) async fn account(&mut self) -> Result<Account, AcmeFault> {
        if let Some(account) = &self.account {
            return Ok(account.clone());
        }
        let directory = self.authority.directory()?;
        let builder = Account::builder_with_http(Box::new(self.authority.clone()));
        let kept = self.record.account.as_ref();
        let kept = kept.and_then(|kept| serde_json::from_slice(kept.expose()).ok());
        let account = if let Some(kept) = kept {
            let kept: AccountCredentials = kept;
            builder.from_credentials(kept).await.map_err(reason)?
        } else {
            let contact = self.settings.contact.as_deref();
            let asked = NewAccount {
                contact: contact.as_slice(),
                // The operator has said so: without it there are no settings of this kind.
                terms_of_service_agreed: true,
                only_return_existing: false,
            };
            let (account, made) = builder.create(&asked, directory, None).await.map_err(reason)?;
            self.record.keep_account(&made);
            self.list_account();
            self.store();
            self.log.record(&Event::AcmeAccountMade);
            account
        };
        self.account = Some(account.clone());
        Ok(account)
    }

    /// A certificate for every name, with a key of `sign`'s.
    pub(super) async fn issue(&mut self) -> Result<Chain, AcmeFault> {
        let account = self.account().await?;
        let names = self.settings.names.iter();
        let identifiers: Vec<Identifier> =
            names.map(|name| Identifier::Dns(name.clone())).collect();
        let mut order = self.order(&account, &identifiers).await?;
        self.answer_challenges(&mut order).await?;
        if order.poll_ready(&POLL).await.map_err(checked)? != OrderStatus::Ready {
            return Err(AcmeFault::Validation);
        }
        let request = self.orders.request().await?;
        order.finalize_csr(&request.der).await.map_err(reason)?;
        let pem = order.poll_certificate(&POLL).await.map_err(reason)?;
        let chain = Chain::read(&pem, request.key, &self.settings.names);
        chain.filter(|chain| chain.is_for(unix_s())).ok_or(AcmeFault::Unfit)
    }

    /// The order; it says which certificate it replaces where the authority wants to know (RFC 9773 §5).
    async fn order(
        &self,
        account: &Account,
        identifiers: &[Identifier],
    ) -> Result<Order, AcmeFault> {
        if let Some(id) = self.record.chain.as_ref().and_then(Chain::id) {
            match account.new_order(&NewOrder::new(identifiers).replaces(id)).await {
                Ok(order) => return Ok(order),
                // It does not want to know, forgot it, or has seen it replaced already: it need not be told.
                Err(Error::Unsupported(_) | Error::Other(_)) => {}
                Err(Error::Api(problem)) if is(&problem, "alreadyReplaced") => {}
                Err(error) => return Err(reason(error)),
            }
        }
        account.new_order(&NewOrder::new(identifiers)).await.map_err(reason)
    }

    async fn answer_challenges(&self, order: &mut Order) -> Result<(), AcmeFault> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(reason)?;
            match authorization.status {
                AuthorizationStatus::Valid => continue,
                AuthorizationStatus::Pending => {}
                _ => return Err(AcmeFault::Validation),
            }
            let challenge = authorization.challenge(ChallengeType::TlsAlpn01);
            let mut challenge = challenge.ok_or(AcmeFault::NotOffered)?;
            let name = challenge.identifier().to_string();
            let authorization = challenge.key_authorization();
            let digest = authorization.digest();
            let digest = digest.as_ref().try_into().map_err(|_length| AcmeFault::Garbage)?;
            let made = self.orders.challenge(digest, &name).await?;
            let (key, certificate) = (made.key, CertificateDer::from(made.der));
            self.servers.answer(Instruction::Challenge { name, key, certificate }).await?;
            // Only now does the server answer whoever looks.
            challenge.set_ready().await.map_err(checked)?;
        }
        Ok(())
    }
}

/// Why a name could not be seen to be ours, or why nobody could be asked.
fn checked(error: Error) -> AcmeFault {
    match error {
        Error::Api(problem) => match of_problem(&problem) {
            AcmeFault::Rejected | AcmeFault::Account => AcmeFault::Validation,
            reason => reason,
        },
        error => reason(error),
    }
}

fn reason(error: Error) -> AcmeFault {
    match error {
        Error::Api(problem) => of_problem(&problem),
        Error::Timeout(_) => AcmeFault::Late,
        Error::Other(error) => {
            error.downcast::<Failed>().map_or(AcmeFault::Garbage, |failed| failed.0)
        }
        _ => AcmeFault::Garbage,
    }
}

fn is(problem: &Problem, name: &str) -> bool {
    let kind = problem.r#type.as_deref().unwrap_or_default();
    kind.strip_prefix("urn:ietf:params:acme:error:") == Some(name)
}

/// RFC 8555 §6.7.
fn of_problem(problem: &Problem) -> AcmeFault {
    for (name, reason) in [
        ("rateLimited", AcmeFault::RateLimited),
        ("badNonce", AcmeFault::BadNonce),
        ("accountDoesNotExist", AcmeFault::Account),
        // Of an account that was deactivated or revoked (§7.3.6).
        ("unauthorized", AcmeFault::Account),
        ("serverInternal", AcmeFault::Broken),
    ] {
        if is(problem, name) {
            return reason;
        }
    }
    match problem.status {
        Some(429) => AcmeFault::RateLimited,
        Some(500..) => AcmeFault::Broken,
        _ => AcmeFault::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, status: u16) -> Error {
        let kind = Some(format!("urn:ietf:params:acme:error:{kind}"));
        let (detail, subproblems) = (Some("words of theirs".to_owned()), Vec::new());
        Error::Api(Problem { r#type: kind, detail, status: Some(status), subproblems })
    }

    #[test]
    fn what_an_authority_says_is_one_of_our_reasons() {
        for (kind, status, expected, while_checked) in [
            ("rateLimited", 429, AcmeFault::RateLimited, AcmeFault::RateLimited),
            ("badNonce", 400, AcmeFault::BadNonce, AcmeFault::BadNonce),
            ("accountDoesNotExist", 400, AcmeFault::Account, AcmeFault::Validation),
            ("unauthorized", 403, AcmeFault::Account, AcmeFault::Validation),
            ("serverInternal", 500, AcmeFault::Broken, AcmeFault::Broken),
            ("connection", 400, AcmeFault::Rejected, AcmeFault::Validation),
            ("rejectedIdentifier", 400, AcmeFault::Rejected, AcmeFault::Validation),
            ("ours", 503, AcmeFault::Broken, AcmeFault::Broken),
            ("ours", 429, AcmeFault::RateLimited, AcmeFault::RateLimited),
        ] {
            assert_eq!(reason(problem(kind, status)), expected, "{kind}");
            assert_eq!(checked(problem(kind, status)), while_checked, "{kind}");
        }
        assert_eq!(reason(Error::Timeout(None)), AcmeFault::Late);
        assert_eq!(reason(Error::Other(Box::new(Failed(AcmeFault::Host)))), AcmeFault::Host);
        assert_eq!(reason(Error::Str("no order URL found")), AcmeFault::Garbage);
    }
}
