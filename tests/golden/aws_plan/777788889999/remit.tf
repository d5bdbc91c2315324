# Remit in AWS account 777788889999: its roles, the policies by which their sessions are revoked, and
# the role that writes those. Written by `remit-server aws plan`; docs/revocation.md tells how it is used.
# A role that is there already is taken over by `terraform import aws_iam_role.<name> <role name>`.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

resource "aws_iam_openid_connect_provider" "remit" {
  url            = "https://remit.acme.example/of/agents"
  client_id_list = ["sts.amazonaws.com"]
}

# The gateway writes new versions of these. Never let Terraform put the first text back: whoever was revoked
# would be let in again.
resource "aws_iam_policy" "remit_revocations" {
  for_each = toset([
    "1",
    "2",
    "3",
    "4",
  ])
  name     = "remit-revocations-${each.key}"
  policy   = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Deny"
      Action = "*"
      Resource = "*"
      Condition = {
        StringLike = {
          "aws:PrincipalTag/remit:grant" = ["-"]
        }
      }
    }]
  })

  lifecycle {
    ignore_changes = [policy]
  }
}

resource "aws_iam_policy" "remit_canary" {
  name   = "remit-canary"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = "ec2:DescribeRegions"
      Resource = "*"
    }]
  })
}

resource "aws_iam_role" "remit_tokens" {
  name                 = "remit-tokens"
  path                 = "/"
  max_session_duration = 3600
  assume_role_policy   = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Principal = {
        Federated = aws_iam_openid_connect_provider.remit.arn
      }
      Action = [
        "sts:AssumeRoleWithWebIdentity",
        "sts:TagSession",
        "sts:SetSourceIdentity",
      ]
      Condition = {
        StringEquals = {
          "remit.acme.example/of/agents:aud" = "sts.amazonaws.com"
          "remit.acme.example/of/agents:sub" = "remit:role/777788889999/remit-tokens"
        }
        StringLike = {
          "aws:RequestTag/remit:grant" = "?*.?*.?*"
          "aws:RequestTag/remit:by" = "?*.?*"
          "sts:SourceIdentity" = "?*.?*"
        }
        "ForAllValues:StringEquals" = {
          "aws:TagKeys" = [
            "remit:by",
            "remit:grant",
          ]
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "remit_tokens" {
  name   = "remit-ceiling"
  role   = aws_iam_role.remit_tokens.name
  policy = jsonencode({
    Statement = [{
      Action = "sqs:SendMessage"
      Effect = "Allow"
      Resource = "*"
    }]
    Version = "2012-10-17"
  })
}

resource "aws_iam_role_policy_attachment" "remit_tokens_revocations" {
  for_each   = aws_iam_policy.remit_revocations
  role       = aws_iam_role.remit_tokens.name
  policy_arn = each.value.arn
}

resource "aws_iam_role_policy_attachment" "remit_tokens_canary" {
  role       = aws_iam_role.remit_tokens.name
  policy_arn = aws_iam_policy.remit_canary.arn
}

resource "aws_iam_role" "remit_revoker" {
  name                 = "remit-revoker"
  max_session_duration = 3600
  assume_role_policy   = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Principal = {
        Federated = aws_iam_openid_connect_provider.remit.arn
      }
      Action = [
        "sts:AssumeRoleWithWebIdentity",
        "sts:TagSession",
        "sts:SetSourceIdentity",
      ]
      Condition = {
        StringEquals = {
          "remit.acme.example/of/agents:aud" = "sts.amazonaws.com"
          "remit.acme.example/of/agents:sub" = "remit:role/777788889999/remit-revoker"
          "sts:SourceIdentity" = "REMIT.revoker"
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "remit_revoker" {
  name   = "revoke"
  role   = aws_iam_role.remit_revoker.name
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "iam:CreatePolicyVersion",
        "iam:DeletePolicyVersion",
        "iam:GetPolicy",
        "iam:GetPolicyVersion",
        "iam:ListPolicyVersions",
      ]
      Resource = [
        "arn:aws:iam::777788889999:policy/remit-revocations-1",
        "arn:aws:iam::777788889999:policy/remit-revocations-2",
        "arn:aws:iam::777788889999:policy/remit-revocations-3",
        "arn:aws:iam::777788889999:policy/remit-revocations-4",
      ]
    }]
  })
}
